"""0.5.0: the framework's modules are grouped by where they run."""

from __future__ import annotations

from tasks.migrations import Moved, RenamedImport

MODULES = {
    "certificates": "services.certificates",
    "commands": "cli.mlops",
    "container_operator": "operators.container",
    "containers": "entrypoints.containers",
    "detached": "cli.detached",
    "doctor.command": "cli.doctor",
    "endpoints": "project.clients",
    "engine": "backends.engine",
    "envfile": "project.envfile",
    "environments": "project.environments",
    "errors": "project.errors",
    "function_task": "operators.base",
    "guard": "entrypoints.guard",
    "health": "entrypoints.health",
    "images": "project.image",
    "import_errors": "project.import_errors",
    "inherited": "project.inherited",
    "minikube.commands": "cli.minikube",
    "minikube.forward": "entrypoints.forward",
    "mlflow_server": "entrypoints.mlflow_server",
    "object_commands": "cli.objects",
    "pipelines": "airflow_client",
    "pod_manager": "operators.pod_manager",
    "pod_operator": "operators.pod",
    "pod_troubles": "operators.pod_troubles",
    "ports": "backends.ports",
    "process_operator": "operators.process",
    "processes": "backends.processes",
    "quick": "entrypoints.quick",
    "resources": "operators.resources",
    "settings": "project.settings",
    "snapshot": "update.snapshot",
    "source": "project.source",
    "stamps": "project.stamps",
    "tasks": "operators.create_task",
    "updating": "update.updating",
    "yaml_pipelines": "operators.yaml_dags",
}

# Names that moved to another module or to `gaiaflow` itself.
NAMES = {
    "settings:connect": ":connect",
    "tasks:create_task": ":create_task",
    "yaml_pipelines:load_yaml_pipelines": ":load_yaml_pipelines",
    **{
        f"environments:{name}": f".project.programs:{name}"
        for name in ("clean_env", "find_uv", "remember_uv", "run", "say", "uv_folders")
    },
    "function_task:Output": ".operators.mapping:Output",
    "function_task:mapped_name": ".operators.mapping:argument_of",
    "settings:Identity": ".project.identity:Identity",
    "settings:Project": ".project.project:Project",
    "settings:client_env": ".project.clients:client_env",
    "settings:find_root": ".project.project:find_root",
    "settings:load": ".project.project:load",
    "settings:read_identity": ".project.identity:read_identity",
    "settings:read_toml": ".project.identity:read_toml",
}


def _path(module: str) -> str:
    return f"gaiaflow/{module.replace('.', '/')}.py"


MIGRATION = [
    *(Moved(_path(old), _path(new)) for old, new in MODULES.items()),
    *(RenamedImport(f"gaiaflow.{old}", f"gaiaflow{new}") for old, new in NAMES.items()),
    *(RenamedImport(f"gaiaflow.{old}", f"gaiaflow.{new}") for old, new in MODULES.items()),
]
