"""`train`: script mode, as AWS's sagemaker-training toolkit does it.

Reads /opt/ml/input/config, fetches the code (sagemaker_submit_directory) to /opt/ml/code, installs its requirements,
and runs sagemaker_program with the hyperparameters as arguments and the SM_* environment. The exit code is the
script's; what went wrong is written to /opt/ml/output/failure, unless the script wrote one.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import Any

from .code import BASE, CODE, UserError, fetch, install_requirements

OUTPUT = BASE / "output"
INPUT = BASE / "input"
OWN_HYPERPARAMETERS = ("sagemaker_", "_tuning_objective_metric")
DISTRIBUTIONS = (
    "sagemaker_mpi_enabled",
    "sagemaker_parameter_server_enabled",
    "sagemaker_distributed_dataparallel_enabled",
    "sagemaker_pytorch_ddp_enabled",
    "sagemaker_torch_distributed_enabled",
    "sagemaker_multi_worker_mirrored_strategy_enabled",
)
KEPT_LINES = 40


def main() -> int:
    """Run the job; returns its exit code."""
    try:
        return _train()
    except UserError as error:
        _write_failure(str(error))
        print(f"train: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        _write_failure(f"Framework Error: {type(error).__name__}: {error}")
        raise


def _train() -> int:
    parameters = _decode(_read("hyperparameters.json"))
    own = {name: value for name, value in parameters.items() if name.startswith(OWN_HYPERPARAMETERS)}
    users = {name: value for name, value in parameters.items() if name not in own}
    program = own.get("sagemaker_program") or os.environ.get("SAGEMAKER_PROGRAM")
    if not program:
        raise UserError(
            "No sagemaker_program: this image runs scripts (script mode). Name one: entry_point=... of the SDK's "
            "framework estimators, the hyperparameter sagemaker_program, or SAGEMAKER_PROGRAM in the environment."
        )
    for name in DISTRIBUTIONS:
        if own.get(name) not in (None, False, "false"):
            raise UserError(f"{name}: distributed training is not supported by this launcher.")
    folder = _code(own.get("sagemaker_submit_directory") or os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY"))
    if not (folder / program).is_file():
        raise UserError(f"sagemaker_program: there is no {program} in {folder}")
    command = _command(folder, program, _arguments(users))
    environment = _environment(folder, program, own, users)
    return _run(command, folder, environment)


def _code(location: str | None) -> Path:
    if not location:
        return CODE
    folder = fetch(location, CODE)
    if folder != CODE and not CODE.exists():
        # Scripts look for their files in /opt/ml/code.
        CODE.parent.mkdir(parents=True, exist_ok=True)
        CODE.symlink_to(folder)
    return CODE if folder.resolve() == CODE.resolve() else folder


def _command(folder: Path, program: str, arguments: list[str]) -> list[str]:
    """A shell script by the shell, a project with a setup.py as its module, else a script by Python."""
    if program.endswith(".py"):
        if (folder / "setup.py").is_file():
            install = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "."]
            if subprocess.call(install, cwd=folder) != 0:
                raise UserError(f"pip install of {folder} (its setup.py) failed")
            install_requirements(folder)
            return [sys.executable, "-m", program[: -len(".py")].replace("/", "."), *arguments]
        install_requirements(folder)
        return [sys.executable, program, *arguments]
    (folder / program).chmod(0o755)
    # As the toolkit: arguments go through a shell, and a script without #! is the shell's.
    return ["/bin/bash", "-c", shlex.join([f"./{program}", *arguments])]


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> int:
    print(f"Running in {folder}: {shlex.join(command)}", flush=True)
    last: deque[str] = deque(maxlen=KEPT_LINES)
    with subprocess.Popen(
        command, cwd=folder, env={**os.environ, **environment}, stderr=subprocess.PIPE, bufsize=0
    ) as process:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda received, _: process.send_signal(received))
        copier = threading.Thread(target=_copy, args=(process.stderr, last), daemon=True)
        copier.start()
        code = process.wait()
        copier.join(timeout=5)  # a grandchild may hold its end for ever
    if code == 0:
        return 0
    message = "\n".join(last).strip()
    _write_failure(
        f'ExecuteUserScriptError:\nExitCode {code}\nErrorMessage "{message}"\nCommand "{shlex.join(command)}"'
    )
    return code if code > 0 else 128 - code


def _copy(source: Any, last: deque[str]) -> None:
    """Pass the script's errors on as they come, and keep the last lines."""
    rest = b""
    while block := os.read(source.fileno(), 65536):
        os.write(2, block)
        *lines, rest = (rest + block).split(b"\n")
        last.extend(line.decode(errors="replace") for line in lines)
    if rest:
        last.append(rest.decode(errors="replace"))


def _write_failure(message: str) -> None:
    OUTPUT.mkdir(parents=True, exist_ok=True)
    file = OUTPUT / "failure"
    if not file.exists():
        file.write_text(message)


def _read(name: str) -> dict[str, Any]:
    try:
        content = json.loads((INPUT / "config" / name).read_text())
    except FileNotFoundError:
        return {}
    return content if isinstance(content, dict) else {}


def _decode(parameters: dict[str, Any]) -> dict[str, Any]:
    """Values are JSON in strings; one that isn't (a value that a pipeline filled in) is itself."""
    decoded = {}
    for name, value in parameters.items():
        try:
            decoded[name] = json.loads(value)
        except (ValueError, TypeError):
            decoded[name] = value
    return decoded


def _arguments(parameters: dict[str, Any]) -> list[str]:
    """`--name value` by name; one letter gets one dash, a mapping is `key=value,...`."""
    words: list[str] = []
    for name in sorted(parameters):
        value = parameters[name]
        if isinstance(value, dict):
            text = ",".join(f"{key}={value[key]}" for key in sorted(value))
        else:
            text = "" if value is None else str(value)
        words += [f"--{name}" if len(name) > 1 else f"-{name}", text]
    return words


def _environment(folder: Path, program: str, own: dict[str, Any], users: dict[str, Any]) -> dict[str, str]:
    resources = _read("resourceconfig.json")
    channels = _read("inputdataconfig.json")
    host = resources.get("current_host", "algo-1")
    hosts = resources.get("hosts", [host])
    groups = resources.get("instance_groups", [])
    group = resources.get("current_instance_group", resources.get("current_group_name", ""))
    inputs = {name: str(INPUT / "data" / name) for name in channels}
    arguments = _arguments(users)
    module = program[: -len(".py")] if program.endswith(".py") else program
    log_level = own.get("sagemaker_container_log_level", 20)
    members: dict[str, Any] = {
        "channel_input_dirs": inputs,
        "current_host": host,
        "current_instance_group": group,
        "current_instance_group_hosts": [
            name for g in groups if g.get("instance_group_name") == group for name in g["hosts"]
        ],
        "current_instance_type": resources.get("current_instance_type", "local"),
        "hosts": hosts,
        "hyperparameters": users,
        "input_config_dir": str(INPUT / "config"),
        "input_data_config": channels,
        "input_dir": str(INPUT),
        "is_hetero": False,
        "is_master": host == sorted(hosts)[0],
        "job_name": os.environ.get("TRAINING_JOB_NAME") or own.get("sagemaker_job_name"),
        "log_level": log_level,
        "master_hostname": sorted(hosts)[0],
        "model_dir": str(BASE / "model"),
        "module_dir": own.get("sagemaker_submit_directory") or str(folder),
        "module_name": module,
        "network_interface_name": resources.get("network_interface_name", "eth0"),
        "num_cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "num_gpus": _gpus(),
        "num_neurons": 0,
        "output_data_dir": str(OUTPUT / "data"),
        "output_dir": str(OUTPUT),
        "output_intermediate_dir": str(OUTPUT / "intermediate"),
        "resource_config": resources,
        "user_entry_point": program,
    }
    exported = {
        **{name: members[name] for name in members if name not in ("channel_input_dirs", "hyperparameters")},
        "hps": users,
        "channels": sorted(inputs),
        "framework_params": {name: value for name, value in own.items() if name.startswith("sagemaker_")},
        "framework_module": "",
        "instance_groups": [g.get("instance_group_name") for g in groups],
        "instance_groups_dict": {g.get("instance_group_name"): g for g in groups},
        "distribution_instance_groups": [],
        "training_env": members,
        "user_args": arguments,
        **{f"channel_{name}": path for name, path in inputs.items()},
        **{f"hp_{name}": value for name, value in users.items()},
    }
    variables = {f"SM_{name.upper()}": _text(value) for name, value in exported.items()}
    search = os.environ.get("PYTHONPATH")
    return {**variables, "PYTHONPATH": f"{folder}{os.pathsep}{search}" if search else str(folder)}


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))


def _gpus() -> int:
    try:
        listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return 0
    return sum(line.startswith("GPU ") for line in listed.splitlines())
