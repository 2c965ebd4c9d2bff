"""The commands of `minikube_manager.py`: they parse and print; the work is done elsewhere."""

from __future__ import annotations

import getpass
import re
import shutil
from pathlib import Path
from typing import Any

from plumbum import cli

from gaiaflow import __version__, console, envfile, images, settings
from gaiaflow.commands import DONE, WRONG_USE, WrongUse, unknown_command
from gaiaflow.endpoints import CREDENTIALS, CREDENTIALS_SECRET
from gaiaflow.minikube import gateway, kubeconfig, program
from gaiaflow.minikube.cluster import Cluster

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class MinikubeManager(cli.Application):
    """Run a Kubernetes cluster of this project alone, in Minikube, to try `prod_local` in."""

    PROGNAME = "python3 minikube_manager.py"
    VERSION = __version__
    SUBCOMMAND_HELPMSG = False
    DESCRIPTION_MORE = """
A first session:
/ python3 minikube_manager.py start      # the cluster, and kube_config_inline
/ python3 minikube_manager.py build      # the package's image, into the cluster
/ python3 minikube_manager.py status

Then set GAIAFLOW_MODE=prod_local in .env, and: python3 mlops_manager.py restart
Your own kubeconfig and current context stay as they are.

Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted by Ctrl-C.
"""

    def main(self, *command: str) -> int:
        if self.nested_command:
            return DONE
        if command:
            raise unknown_command(self, command[0])
        self.help()
        return WRONG_USE


@MinikubeManager.subcommand("start")
class Start(cli.Application):
    """Start the cluster, or make it, and let its pods reach MLflow and the object store"""

    def main(self) -> int:
        project = _project()
        with console.Progress() as progress:
            program.start(project, progress.report)
        _configure(project)
        console.err.print("Next: python3 minikube_manager.py build")
        return DONE


@MinikubeManager.subcommand("stop")
class Stop(cli.Application):
    """Stop the cluster; what is in it stays"""

    def main(self) -> int:
        return _stop(_project())


@MinikubeManager.subcommand("restart")
class Restart(cli.Application):
    """Stop and start"""

    def main(self) -> int:
        project = _project()
        _stop(project)
        with console.Progress() as progress:
            program.start(project, progress.report)
        _configure(project)
        return DONE


@MinikubeManager.subcommand("status")
class Status(cli.Application):
    """Show how the cluster is"""

    as_json = cli.Flag("--json", help="print {profile, nodes, config, image} instead")

    def main(self) -> int:
        project = _project()
        nodes = program.status(project)
        config = project.root / "kube_config_inline"
        if self.as_json:
            shown: dict[str, Any] = {
                "profile": program.profile(project),
                "nodes": [{key.lower(): value for key, value in node.items()} for node in nodes],
                "config": str(config) if config.exists() else None,
                "image": images.package_image(project),
            }
            console.print_json(shown)
            return DONE
        if not nodes:
            console.out.print("There is no cluster. Make it: python3 minikube_manager.py start")
            return DONE
        rows = [
            (node["Name"], node.get("Host", ""), node.get("Kubelet", ""), node.get("APIServer", ""))
            for node in nodes
        ]
        console.out.print(console.table(["NODE", "STATE", "KUBELET", "API SERVER"], rows))
        if not config.exists():
            console.err.print("kube_config_inline is missing: python3 minikube_manager.py config")
        return DONE


@MinikubeManager.subcommand("build")
class Build(cli.Application):
    """Build the package's image and load it into the cluster; after each change of the code"""

    def main(self) -> int:
        from gaiaflow.backends.compose import ComposeBackend

        project = _project()
        with console.Progress() as progress:
            image = ComposeBackend(project, progress.report).build_package()
            progress.report("load", "starting", f"{image} into {program.profile(project)}")
            program.run(project, "image", "load", "--overwrite=true", image)
            progress.report("load", "done", "")
        console.out.print(image, markup=False)
        return DONE


@MinikubeManager.subcommand("config")
class Config(cli.Application):
    """Write kube_config_inline and the addresses of the servers anew, as after a move of ports"""

    def main(self) -> int:
        _configure(_project())
        return DONE


@MinikubeManager.subcommand("gateway")
class Gateway(cli.Application):
    """Print the address at which pods reach this machine"""

    def main(self) -> int:
        console.out.print(gateway.address(_project()), markup=False)
        return DONE


@MinikubeManager.subcommand("secret")
class Secret(cli.Application):
    """Keep a secret in the cluster: NAME KEY=VALUE ...; or: list; or: delete NAME

    A KEY without a value is asked for, so that it appears nowhere.
    """

    env_file = cli.SwitchAttr(
        "--from-env-file", cli.ExistingFile, argname="FILE", help="take the lines of a file"
    )

    def main(self, name: str, *pairs: str) -> int:
        project = _project()
        if name == "list":
            if pairs or self.env_file:
                raise WrongUse("`secret list` takes nothing more.")
            rows = [(found, ", ".join(keys)) for found, keys in _cluster(project).secrets().items()]
            console.out.print(console.table(["SECRET", "KEYS"], rows))
            return DONE
        if name == "delete":
            if len(pairs) != 1:
                raise WrongUse("Which one? python3 minikube_manager.py secret delete NAME")
            _cluster(project).delete_secret(pairs[0])
            console.err.print(f"deleted {pairs[0]}", markup=False)
            return DONE
        if not _NAME.fullmatch(name):
            raise WrongUse(f"A secret's name is like `my-archive`, and not {name!r}.")
        values = self._values(project, pairs)
        new = _cluster(project).set_secret(name, values)
        what = "made" if new else "changed"
        console.err.print(f"{what} {name}: {', '.join(values)}", markup=False)
        return DONE

    def _values(self, project: settings.Project, pairs: tuple[str, ...]) -> dict[str, str]:
        values = {}
        if self.env_file:
            file = Path(str(self.env_file))
            values = envfile.read(file)
            if (
                file.resolve() == (project.root / ".env").resolve()
            ):  # not what keeps Airflow and the stack
                values = settings.own_variables(project)
        for pair in pairs:
            key, given, value = pair.partition("=")
            if not _KEY.fullmatch(key):
                raise WrongUse(f"Expected KEY=VALUE, and not {key!r}.")
            values[key] = value if given else getpass.getpass(f"{key}: ")
        if not values:
            raise WrongUse("Nothing to keep: give KEY=VALUE ..., or --from-env-file FILE.")
        return values


@MinikubeManager.subcommand("clean")
class Clean(cli.Application):
    """Delete the cluster and all that is in it; your files stay"""

    def main(self) -> int:
        project = _project()
        gateway.stop_forwarding(project)
        with console.Progress() as progress:
            progress.report("minikube", "stopping", "")
            program.run(project, "delete")
            progress.report("minikube", "stopped", "deleted")
        (project.root / "kube_config_inline").unlink(missing_ok=True)
        shutil.rmtree(project.state / "minikube", ignore_errors=True)
        return DONE


def _configure(project: settings.Project) -> None:
    """Write what tasks need to find the cluster, and what pods need to find the servers."""
    with console.Progress() as progress:
        progress.report("config", "starting", "kube_config_inline")
        target = project.root / "kube_config_inline"
        kubeconfig.write(program.own_kube_config(project), program.profile(project), target)
        keys = {name: project.env[name] for name in CREDENTIALS}
        _cluster(project).set_secret(CREDENTIALS_SECRET, keys)
        progress.report("config", "starting", "MLflow and the object store")
        gateway.connect(project)
        progress.report("config", "done", "")


def _stop(project: settings.Project) -> int:
    gateway.stop_forwarding(project)
    with console.Progress() as progress:
        progress.report("minikube", "stopping", "")
        program.run(project, "stop")
        progress.report("minikube", "stopped", "")
    return DONE


def _cluster(project: settings.Project) -> Cluster:
    return Cluster(project.root / "kube_config_inline")


def _project() -> settings.Project:
    return settings.load(settings.find_root())
