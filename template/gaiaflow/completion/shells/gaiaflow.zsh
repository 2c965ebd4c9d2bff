# Completes commands of Gaiaflow projects: ./mlops_manager.py, python3 mlops_manager.py

_gaiaflow() {
    local python=python3 manager=$words[1]
    if [[ $manager != *mlops_manager.py ]]; then
        python=$words[1] manager=$words[2]
        if [[ $manager != *mlops_manager.py || $CURRENT -lt 3 ]]; then
            (( $+functions[_python] )) || autoload -Uz _python
            _python "$@"
            return
        fi
    fi
    local -a answers
    answers=(${(f)"$($python ${~manager} completion --words="${(j: :)words[1,CURRENT-1]} $PREFIX" 2>/dev/null)"})
    if (( ! $#answers )); then
        _files
        return
    fi
    compadd -S '' -- ${(M)answers:#*[/=.:]}
    compadd -- ${answers:#*[/=.:]}
}

if (( ! $+functions[compdef] )); then
    autoload -Uz compinit && compinit
fi
compdef _gaiaflow mlops_manager.py python python3
