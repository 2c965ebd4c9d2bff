"""The commands of `minikube_manager.py`: parse arguments and print results."""

from __future__ import annotations

import getpass
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from plumbum import cli

from gaiaflow import console
from gaiaflow.cli import common
from gaiaflow.cli.common import DONE, Manager, WrongUse
from gaiaflow.minikube import gateway, kubeconfig, program, serving
from gaiaflow.minikube.cluster import Cluster
from gaiaflow.project import envfile, image
from gaiaflow.project.clients import CREDENTIALS, CREDENTIALS_SECRET
from gaiaflow.project.errors import GaiaflowError
from gaiaflow.project.project import Project

if TYPE_CHECKING:
    from gaiaflow.rehearsal.stage import Rehearsal

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_EXAMPLE = "landcover"
_REMOVE = """\
What has been started stays, so that you can look at it.
To remove it: python3 minikube_manager.py production --remove"""
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def main() -> NoReturn:
    """Run `minikube_manager.py`."""
    common.main(MinikubeManager)


class MinikubeManager(Manager):
    """Run a Kubernetes cluster for this project alone, in Minikube, for the mode `prod_local`."""

    PROGNAME = "python3 minikube_manager.py"
    DESCRIPTION_MORE = """
A first session:
/ python3 minikube_manager.py start      # the cluster, and kube_config_inline
/ python3 minikube_manager.py build      # the project's image, loaded into the cluster
/ python3 minikube_manager.py deploy     # serve predictions from it
/ python3 minikube_manager.py status

Then set GAIAFLOW_MODE=prod_local in .env, and run: python3 mlops_manager.py restart
Your own kubeconfig and its current context are not changed.

Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted by Ctrl-C.
"""


@MinikubeManager.subcommand("start")
class Start(cli.Application):
    """Create or start the cluster, and let its pods reach MLflow and the object store"""

    def main(self) -> int:
        project = common.project()
        with console.Progress() as progress:
            program.start(project, progress.notify)
        _configure(project)
        console.err.print("Next: python3 minikube_manager.py build")
        return DONE


@MinikubeManager.subcommand("stop")
class Stop(cli.Application):
    """Stop the cluster; its contents stay"""

    def main(self) -> int:
        return _stop(common.project())


@MinikubeManager.subcommand("restart")
class Restart(cli.Application):
    """Stop and start the cluster"""

    def main(self) -> int:
        project = common.project()
        _stop(project)
        with console.Progress() as progress:
            program.start(project, progress.notify)
        _configure(project)
        return DONE


@MinikubeManager.subcommand("status")
class Status(cli.Application):
    """Show the cluster's nodes and their states"""

    as_json = cli.Flag("--json", help="print {profile, nodes, config, image} instead")

    def main(self) -> int:
        project = common.project()
        nodes = program.status(project)
        config = project.root / "kube_config_inline"
        if self.as_json:
            shown: dict[str, Any] = {
                "profile": program.profile(project),
                "nodes": [{key.lower(): value for key, value in node.items()} for node in nodes],
                "config": str(config) if config.exists() else None,
                "image": image.package_image(project),
            }
            console.print_json(shown)
            return DONE
        if not nodes:
            console.out.print("There is no cluster. Create it: python3 minikube_manager.py start")
            return DONE
        rows = [
            (node["Name"], node.get("Host", ""), node.get("Kubelet", ""), node.get("APIServer", ""))
            for node in nodes
        ]
        console.out.print(console.table(["NODE", "STATE", "KUBELET", "API SERVER"], rows))
        if not config.exists():
            console.err.print(
                "kube_config_inline is missing.\nCreate it: python3 minikube_manager.py config"
            )
        return DONE


@MinikubeManager.subcommand("build")
class Build(cli.Application):
    """Build the project's image and load it into the cluster; repeat it after code changes"""

    def main(self) -> int:
        from gaiaflow.backends.compose import ComposeBackend

        project = common.project()
        with console.Progress() as progress:
            image = ComposeBackend(project, progress.notify).build_package()
            progress.notify("load", "starting", f"{image} into {program.profile(project)}")
            program.run(project, "image", "load", "--overwrite=true", image)
            progress.notify("load", "done", "")
        console.out.print(image, markup=False)
        return DONE


@MinikubeManager.subcommand("deploy")
class Deploy(cli.Application):
    """Serve the champion from pods of the cluster, or update them; needs the image of `build`"""

    remove = cli.Flag("--remove", help="delete them instead, with all that `deploy` has created")

    def main(self) -> int:
        project = common.project()
        cluster = _cluster(project)
        with console.Progress() as progress:
            if self.remove:
                progress.notify("serving", "stopping", "")
                serving.remove(cluster)
                progress.notify("serving", "stopped", "")
                return DONE
            _enable_metrics(project, progress)
            serving.deploy(project, cluster, progress.notify)
        console.out.print("In the cluster: http://serving", markup=False)
        forward = "kubectl --kubeconfig kube_config_inline port-forward service/serving 8000:80"
        console.err.print(f"From here: {forward}", markup=False, soft_wrap=True)
        return DONE


@MinikubeManager.subcommand("production")
class Production(cli.Application):
    """Rehearse production: bring up what deploy/ describes, run a DAG there, and remove it all

    It uses the last commit. If something fails, it all stays, so that you can look: repeat the
    command to go on, or remove it with --remove.
    """

    dag = cli.SwitchAttr("--dag", str, default=_EXAMPLE, argname="DAG", help="which DAG to run")
    chart = cli.SwitchAttr(
        "--chart", str, argname="PATH", help="Airflow's chart, if its site can't be reached"
    )
    keep = cli.Flag("--keep", help="remove nothing at the end")
    remove = cli.Flag("--remove", help="only remove what an earlier one has left")

    def main(self) -> int:
        from gaiaflow.rehearsal.stage import Rehearsal

        project = common.project()
        with console.Progress() as progress:
            rehearsal = Rehearsal(project, progress.notify)
            if self.remove:
                rehearsal.remove()
                return DONE
            try:
                self._rehearse(rehearsal)
            except GaiaflowError as error:
                raise GaiaflowError(f"{error}\n{_REMOVE}") from error
            if not self.keep:
                rehearsal.remove()
        console.out.print(f"{self.dag} is green, as it would run in production.", markup=False)
        return DONE

    def _rehearse(self, rehearsal: Rehearsal) -> None:
        """Bring everything up, run the DAG, and serve its model."""
        rehearsal.bring_up(self.chart)
        with rehearsal.airflow() as airflow:
            run = rehearsal.run(airflow, self.dag)
            if run.state != "success":
                common.show_failures(airflow, run)
                raise GaiaflowError(f"{self.dag} failed in the rehearsal.")
        if self.dag == _EXAMPLE:  # others may leave no champion to serve
            rehearsal.serve()


@MinikubeManager.subcommand("config")
class Config(cli.Application):
    """Rewrite kube_config_inline and the servers' addresses, such as after ports have moved"""

    def main(self) -> int:
        _configure(common.project())
        return DONE


@MinikubeManager.subcommand("gateway")
class Gateway(cli.Application):
    """Print the address at which pods reach this machine"""

    def main(self) -> int:
        console.out.print(gateway.address(common.project()), markup=False)
        return DONE


@MinikubeManager.subcommand("secret")
class Secret(cli.Application):
    """Store a secret in the cluster: NAME KEY=VALUE ...; or: list; or: delete NAME

    For a KEY without a value, it asks for the value, which then appears nowhere.
    """

    env_file = cli.SwitchAttr(
        "--from-env-file", cli.ExistingFile, argname="FILE", help="read NAME=value lines of FILE"
    )

    def main(self, name: str, *pairs: str) -> int:
        project = common.project()
        if name == "list":
            if pairs or self.env_file:
                raise WrongUse("`secret list` takes no arguments.")
            rows = [(found, ", ".join(keys)) for found, keys in _cluster(project).secrets().items()]
            console.out.print(console.table(["SECRET", "KEYS"], rows))
            return DONE
        if name == "delete":
            if len(pairs) != 1:
                raise WrongUse("Name one secret: python3 minikube_manager.py secret delete NAME")
            _cluster(project).delete_secret(pairs[0])
            console.err.print(f"deleted {pairs[0]}", markup=False)
            return DONE
        if not _NAME.fullmatch(name):
            raise WrongUse(
                f"{name!r} can't be the name of a Kubernetes secret.\nUse a name like `my-archive`."
            )
        values = self._values(project, pairs)
        new = _cluster(project).set_secret(name, values)
        what = "created" if new else "changed"
        console.err.print(f"{what} {name}: {', '.join(values)}", markup=False)
        return DONE

    def _values(self, project: Project, pairs: tuple[str, ...]) -> dict[str, str]:
        values = {}
        if self.env_file:
            file = Path(str(self.env_file))
            values = envfile.read(file)
            if file.resolve() == (project.root / ".env").resolve():  # not the stack's settings
                values = project.own_variables()
        for pair in pairs:
            key, given, value = pair.partition("=")
            if not _KEY.fullmatch(key):
                raise WrongUse(f"Expected KEY=VALUE, not {key!r}.")
            values[key] = value if given else getpass.getpass(f"{key}: ")
        if not values:
            raise WrongUse("Nothing to store. Add KEY=VALUE ..., or --from-env-file FILE.")
        return values


@MinikubeManager.subcommand("clean")
class Clean(cli.Application):
    """Delete the cluster and everything in it; your files stay"""

    def main(self) -> int:
        project = common.project()
        gateway.stop_forwarding(project)
        with console.Progress() as progress:
            progress.notify("minikube", "stopping", "")
            program.run(project, "delete")
            progress.notify("minikube", "stopped", "deleted")
        (project.root / "kube_config_inline").unlink(missing_ok=True)
        shutil.rmtree(project.state.minikube, ignore_errors=True)
        return DONE


def _configure(project: Project) -> None:
    """Tell tasks where the cluster is, and pods where the servers are."""
    with console.Progress() as progress:
        progress.notify("config", "starting", "kube_config_inline")
        target = project.root / "kube_config_inline"
        kubeconfig.write(program.own_kube_config(project), program.profile(project), target)
        keys = {name: project.env[name] for name in CREDENTIALS}
        _cluster(project).set_secret(CREDENTIALS_SECRET, keys)
        progress.notify("config", "starting", "MLflow and the object store")
        gateway.connect(project)
        progress.notify("config", "done", "")


def _enable_metrics(project: Project, progress: console.Progress) -> None:
    """Let the cluster measure its pods; without it, the number of pods stays as it is."""
    try:
        program.run(project, "addons", "enable", "metrics-server")
    except GaiaflowError as error:
        progress.notify("metrics-server", "failed", str(error).splitlines()[0])


def _stop(project: Project) -> int:
    gateway.stop_forwarding(project)
    with console.Progress() as progress:
        progress.notify("minikube", "stopping", "")
        program.run(project, "stop")
        progress.notify("minikube", "stopped", "")
    return DONE


def _cluster(project: Project) -> Cluster:
    return Cluster(project.root / "kube_config_inline")
