"""Print a script that lets a shell complete the words of calicoctl.

Usage:
  calicoctl completion (bash|zsh|fish)

Commands and options are completed, and the names of profiles, tags, pools, endpoints, hosts and
containers, which are asked for when the Tab key is pressed. The first lines of a script say how to
load it, for one shell or for every one.

Options:
  -h --help  Show this text.

Examples:
  calicoctl completion bash
  calicoctl completion zsh
  calicoctl completion fish
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from calico_ctl import usage
from calico_ctl.console import Console
from calico_ctl.errors import ExitCode

if TYPE_CHECKING:
    from calico_ctl.workload.platform import Platform

# bash takes `=` and `:` for ends of words, and replaces only what comes after the last of them.
_BASH = r"""# bash completion of calicoctl. For this shell:  . <(calicoctl completion bash)
# For every shell: put it into /etc/bash_completion.d/calicoctl
_calicoctl() {
    local line=${COMP_LINE:0:COMP_POINT} words current kept
    read -ra words <<<"$line"
    while [[ ${#words[@]} -gt 1 && ${words[0]} != "$1" ]]; do words=("${words[@]:1}"); done
    [[ $line == *[[:space:]] ]] && words+=("")
    current=${words[${#words[@]} - 1]}
    mapfile -t COMPREPLY < <("$1" complete -- "${words[@]:1}" 2>/dev/null)
    kept=${current%"${current##*[=:]}"}
    COMPREPLY=("${COMPREPLY[@]#"$kept"}")
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -o default -F _calicoctl calicoctl"""

_ZSH = r"""#compdef calicoctl
# zsh completion of calicoctl. For this shell:  . <(calicoctl completion zsh)
# For every shell: put it as `_calicoctl` into a directory of $fpath
_calicoctl() {
    local -a before found
    local each
    before=("${(@Q)words[2,CURRENT-1]}")
    found=("${(@f)$(${(Q)words[1]} complete -- "${before[@]}" "${(Q)PREFIX}" 2>/dev/null)}")
    found=("${(@)found:#}")
    if (( ! ${#found} )); then
        _files
        return
    fi
    for each in "${found[@]}"; do
        if [[ $each == *= ]]; then
            compadd -S '' -- "$each"
        else
            compadd -- "$each"
        fi
    done
}
if [[ ${funcstack[1]} == _calicoctl ]]; then
    _calicoctl "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
    compdef _calicoctl calicoctl
fi"""

_FISH = r"""# fish completion of calicoctl. For this shell:  calicoctl completion fish | source
# For every shell: put it into ~/.config/fish/completions/calicoctl.fish
function __calicoctl_complete
    set -l before (commandline -opc)
    set -l begun (commandline -ct)
    set -l program $before[1]
    set -e before[1]
    set -l found ($program complete -- $before "$begun" 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path "$begun"
    end
end
complete -c calicoctl -f -a '(__calicoctl_complete)'"""


def run(argv: Sequence[str], _platform: "Platform", console: Console) -> ExitCode:
    """Print the script."""
    words = usage.parse(__doc__, argv)
    script = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}[words.chosen("bash", "zsh", "fish")]
    console.result(script)
    return ExitCode.OK
