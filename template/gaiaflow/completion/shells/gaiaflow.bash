# Completes commands of Gaiaflow projects: ./mlops_manager.py, python3 mlops_manager.py

_gaiaflow() {
    local line="${COMP_LINE:0:COMP_POINT}" python=python3 manager="${COMP_WORDS[0]}"
    if [[ "$manager" != *mlops_manager.py ]]; then
        python="${COMP_WORDS[0]}" manager="${COMP_WORDS[1]}"
        if [[ "$manager" != *mlops_manager.py || "$COMP_CWORD" -lt 2 ]]; then
            [[ -z "$_gaiaflow_else" ]] || "$_gaiaflow_else" "$@"
            return
        fi
    fi
    # Bash breaks words at colons, equals signs and open quotes; $2 is what follows the last one.
    local before="${line%"$2"}" head answer
    head="${before##*[!\\][[:space:]]}"
    head="${head//[\\\"\']/}"
    COMPREPLY=()
    while IFS= read -r answer; do
        answer="${answer:${#head}}"
        if [[ -n "$answer" && "$before" != *[\"\'] ]]; then # open quotes do it already
            printf -v answer %q "$answer"
        fi
        COMPREPLY+=("$answer")
    done < <("$python" "${manager/#\~\//$HOME/}" completion --words="$line" 2>/dev/null)
    if [[ "${#COMPREPLY[@]}" == 1 && "${COMPREPLY[0]}" == *[/=.:] ]]; then
        compopt -o nospace
    fi
}

# What completes other uses of Python stays in charge of them.
_gaiaflow_else=""
_gaiaflow_load() {
    local load
    for load in _comp_load __load_completion _completion_loader; do
        if declare -F "$load" >/dev/null; then
            "$load" python3 >/dev/null 2>&1
            break
        fi
    done
    if [[ "$(complete -p python3 2>/dev/null)" =~ -F\ ([^ ]+) && "${BASH_REMATCH[1]}" != _gaiaflow ]]; then
        _gaiaflow_else="${BASH_REMATCH[1]}"
    fi
}
_gaiaflow_load
complete -o bashdefault -o default -F _gaiaflow mlops_manager.py python python3
