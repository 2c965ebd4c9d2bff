# Completes commands of Gaiaflow projects: ./mlops_manager.py, python3 mlops_manager.py

function __gaiaflow_answers
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l python python3
    if not string match --quiet '*mlops_manager.py' -- $words[1]
        set python $words[1]
        set --erase words[1]
    end
    string match --quiet '*mlops_manager.py' -- "$words[1]"
    or return
    set -g __gaiaflow_found ($python $words[1] completion \
        --words=(commandline --current-process --cut-at-cursor | string collect) 2>/dev/null)
    count $__gaiaflow_found >/dev/null
end

for command in mlops_manager.py python python3
    complete --command $command --condition __gaiaflow_answers --no-files \
        --arguments '$__gaiaflow_found'
end
