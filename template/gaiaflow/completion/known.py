"""What a project knows by name: services, DAGs, tasks, functions, objects, models."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

from gaiaflow import outline
from gaiaflow.additions import adding, examples, kinds
from gaiaflow.completion import SHELLS
from gaiaflow.mlflow_client import Registry, Version
from gaiaflow.objects import Bucket
from gaiaflow.project import imports, tracking
from gaiaflow.project.project import Project, find_root, load
from gaiaflow.services import Service, all_services
from gaiaflow.services.base import listens

_NO_PAGE = ("airflow-api-server", "object-store", "serving")


class Known:
    """The names in a project. Each method looks when it is called, and starts nothing."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or find_root()

    def of(self, kind: str, partial: str, before: Sequence[str]) -> list[str]:
        """The names of this kind, such as "dags"; none for "".

        Args:
            partial: what is there of the word, for kinds that are many.
            before: the arguments before it.

        Raises:
            GaiaflowError: the project's settings can't be read, or a server failed.
        """
        match kind:
            case "services":
                return ["airflow", *(service.name for service in self._services())]
            case "pages":
                with_page = [s.name for s in self._services() if s.ports]
                return ["airflow", *(name for name in with_page if name not in _NO_PAGE)]
            case "dags":
                return list(outline.read(self.root))
            case "tasks":
                dag = outline.read(self.root).get(before[0]) if before else None
                return list(dag.tasks) if dag else []
            case "functions":
                return self._functions()
            case "kinds":
                return list(kinds.WITH_EXAMPLES)
            case "examples":
                return list(examples.EXAMPLES) if before[0] == "example" else []
            case "additions":
                titles = (title.partition(" ") for title in adding.known(self.root))
                return [name for kind, _, name in titles if kind == before[0]]
            case "keys":
                return self._keys(partial)
            case "models":
                return sorted({version.name for version in self._registry("")})
            case "versions":
                return [str(version.version) for version in self._registry(before[0])]
            case "shells":
                return list(SHELLS)
        return []

    def parameters(self, function: str) -> list[str]:
        """The parameters of a function, "package.module:function", each as "name="."""
        module, _, name = function.partition(":")
        for file in imports.files_of(self.root, module)[-1:]:
            for node in imports.parsed(file).body:
                if isinstance(node, ast.FunctionDef) and node.name == name:
                    named = [*node.args.args, *node.args.kwonlyargs]
                    return [f"{argument.arg}=" for argument in named]
        return []

    def _services(self) -> list[Service]:
        known = all_services(self.root)
        return [service for service in known if not service.oneshot and service.command]

    def _functions(self) -> list[str]:
        """The public functions of the package."""
        project = load(self.root)
        folder = self.root / project.package_folder
        found = []
        for file in sorted(folder.rglob("*.py")):
            parts = file.relative_to(folder.parent).with_suffix("").parts
            module = ".".join(parts).removesuffix(".__init__")
            for node in imports.parsed(file).body:
                if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                    found.append(f"{module}:{node.name}")
        return found

    def _keys(self, partial: str) -> list[str]:
        """The objects and folders, one level at a time."""
        project = self._with("OBJECT_STORE_PORT")
        return Bucket(project).level(partial) if project else []

    def _registry(self, name: str) -> list[Version]:
        project = self._with("MLFLOW_PORT")
        return Registry(tracking.server(project, "")).versions(name) if project else []

    def _with(self, port: str) -> Project | None:
        """The project, if the server with this port runs."""
        project = load(self.root)
        return project if listens(project.port(port)) else None
