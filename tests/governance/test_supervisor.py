"""`make run`: what is wrong is said in one sentence, what runs is watched, and all of it stops."""

import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from governance.supervisor import Program, StartError, Supervisor, broker_socket, check_folder, check_port


def test_a_taken_port_is_named_with_the_way_out() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(StartError, match=rf"port {port} on 127\.0\.0\.1 can't be used .*PORT="):
            check_port("127.0.0.1", port)


def test_a_folder_that_cannot_be_made_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StartError, match=r"data folder .* can't be written .*set WEIR_HOME"):
        check_folder(tmp_path / "file" / "var")


def test_a_folder_is_made_and_left_clean(tmp_path: Path) -> None:
    check_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_path_too_long_for_a_socket_gets_a_short_one(tmp_path: Path) -> None:
    assert broker_socket(Path("/srv/weir")) == Path("/srv/weir/run/valkey.sock")
    assert len(str(broker_socket(tmp_path / ("long" * 40)))) <= 100


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_child_that_dies_is_started_again(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    counter = tmp_path / "starts"
    code = f"open({str(counter)!r}, 'a').write('x')\nimport os, time\n"
    code += f"time.sleep(60) if os.path.getsize({str(counter)!r}) > 1 else None"
    supervisor = Supervisor(tmp_path, [Program("flaky", _python(code))])
    supervisor.start_all()
    supervisor.children["flaky"].wait()

    def stop_after_restart(_seconds: float) -> None:
        if supervisor.failures and counter.stat().st_size > 1:
            supervisor.request_stop()

    supervisor.watch(pause=stop_after_restart)
    supervisor.stop_all()
    assert counter.read_text() == "xx"
    assert supervisor.children["flaky"].returncode == -signal.SIGTERM


def test_a_child_that_keeps_dying_stops_everything_and_names_its_log(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    supervisor = Supervisor(tmp_path, [Program("broken", _python("raise SystemExit(3)"))])
    supervisor.start_all()
    with pytest.raises(StartError, match=r"the broken keeps stopping: its log .*broken\.log says why"):
        supervisor.watch(pause=lambda _seconds: supervisor.children["broken"].wait() and None)
    supervisor.stop_all()


def test_stopping_takes_grandchildren_with_it(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    pid_file = tmp_path / "pid"
    code = "import subprocess, sys, time, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    code += "c = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    code += f"open({str(pid_file) + '.part'!r}, 'w').write(str(c.pid))\n"
    code += f"import os; os.rename({str(pid_file) + '.part'!r}, {str(pid_file)!r})\ntime.sleep(60)"
    supervisor = Supervisor(tmp_path, [Program("worker", _python(code))])
    supervisor.start_all()
    while not pid_file.exists():
        assert supervisor.children["worker"].poll() is None
    supervisor.stop_all()
    assert _is_gone(int(pid_file.read_text()))


def _is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return True
    if state == "Z":
        return True
    os.kill(pid, 0)
    return False
