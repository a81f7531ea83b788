"""Telling somebody what a scheduled run came to: a command, mail, a webhook.

    [notify]
    when = "failure"                      # or "warnings" (and failures), or "always"
    command = "logger -t silt"            # the message on its stdin; SILT_TASK, SILT_DEPLOYMENT, SILT_EXIT_CODE set
    mail-to = "ops@example.org"           # through the host's sendmail, or through mail-server
    mail-server = "mail.example.org:25"
    webhook = "https://chat.example/x"    # POST of JSON: deployment, task, host, exit_code, begun, ended, text

Rule: a way that fails is told, and keeps no other from being tried; a message that does not get through changes nothing
about the run. What speaks to others is imported when it is needed: every backup reads a deployment file.
"""

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from .hooks import SECRETS
from .runs import Run

if TYPE_CHECKING:
    from .toml_table import Table

SECONDS: Final = 30.0  # for each way
WHEN = ("failure", "warnings", "always")


class Notify(Struct, frozen=True):
    """Whom to tell, and when. Empty where there is nobody."""

    when: str = "failure"
    command: str = ""
    mail_to: str = ""
    mail_server: str = ""
    webhook: str = ""

    def wants(self, run: Run) -> bool:
        """Whether this run is to be told of."""
        return run.failed or self.when == "always" or (self.when == "warnings" and run.exit_code != 0)


class Message(Struct, frozen=True):
    """What is told."""

    deployment: str
    task: str
    host: str
    run: Run

    @property
    def subject(self) -> str:
        """In one line."""
        came_to = "failed" if self.run.failed else "done with warnings" if self.run.exit_code else "done"
        return f"silt on {self.host}: {self.task} of {self.deployment} {came_to}"

    @property
    def text(self) -> str:
        """The line, and what the run said last."""
        return f"{self.subject} (exit code {self.run.exit_code})\n\n{self.run.said}"


def notify_of(top: "Table") -> Notify | None:
    """What a deployment file says. Raises ConfigError."""
    if "notify" not in top:
        return None
    table = top.table("notify")
    keys = ("when", "command", "mail-to", "mail-server", "webhook")
    table.refuse_unknown(keys)
    words = {key.replace("-", "_"): table.string(key) for key in keys}
    words["when"] = words["when"] or "failure"
    if words["when"] not in WHEN:
        raise table.error(f"'{words['when']}' is no moment", "when", hint=f"write one of {', '.join(WHEN)}")
    if words["webhook"] and not words["webhook"].startswith(("https://", "http://")):
        raise table.error("must begin with https:// or http://", "webhook")
    if words["mail_server"] and not words["mail_to"]:
        raise table.error("nobody is named to write to", "mail-server", hint='write mail-to = "..."')
    return Notify(**words)


def tell(notify: Notify, message: Message) -> Iterator[str]:
    """Tell by every way that is set; what did not work, a line each."""
    from smtplib import SMTPException
    from subprocess import SubprocessError

    ways: list[tuple[str, str, Callable[[Notify, Message], None]]] = [
        ("the command", notify.command, _by_command),
        ("mail to", notify.mail_to, _by_mail),
        ("the webhook", notify.webhook, _by_webhook),
    ]
    for way, target, tell_so in ways:
        if target:
            try:
                tell_so(notify, message)
            except (OSError, ValueError, SubprocessError, SMTPException) as error:
                yield f"nobody was told by {way} {target}: {_why(error)}"


def _why(error: Exception) -> str:
    from subprocess import CalledProcessError, TimeoutExpired

    if isinstance(error, TimeoutExpired):
        return f"it took longer than {error.timeout:g} s, and was killed"
    if isinstance(error, CalledProcessError):
        last = (error.stderr or b"").decode(errors="replace").strip().splitlines()[-1:]
        return ": ".join([f"exit code {error.returncode}", *last])
    if isinstance(error, FileNotFoundError) and error.filename:
        return f'there is no {error.filename}; mail-server = "host:25" does without'
    reason = getattr(error, "reason", error)  # of an URL
    return getattr(reason, "strerror", None) or str(reason)


def _by_command(notify: Notify, message: Message) -> None:
    import subprocess

    run = message.run
    said = {"SILT_TASK": message.task, "SILT_DEPLOYMENT": message.deployment, "SILT_EXIT_CODE": str(run.exit_code)}
    subprocess.run(
        ["/bin/sh", "-c", notify.command],
        input=message.text.encode(errors="replace"),
        env={**{name: value for name, value in os.environ.items() if name not in SECRETS}, **said},
        check=True,
        capture_output=True,
        timeout=SECONDS,
    )


def _by_mail(notify: Notify, message: Message) -> None:
    import smtplib
    import subprocess
    from email.message import EmailMessage

    mail = EmailMessage()
    mail["Subject"], mail["To"], mail["From"] = message.subject, notify.mail_to, f"silt@{message.host}"
    mail.set_content(message.text)
    if notify.mail_server:
        host, _, port = notify.mail_server.partition(":")
        with smtplib.SMTP(host, int(port or 25), timeout=SECONDS) as server:
            server.send_message(mail)
    else:
        sendmail = "/usr/sbin/sendmail"
        subprocess.run([sendmail, "-t", "-oi"], input=bytes(mail), check=True, capture_output=True, timeout=SECONDS)


def _by_webhook(notify: Notify, message: Message) -> None:
    import json
    import urllib.request

    run = message.run
    body = {
        "deployment": message.deployment,
        "task": message.task,
        "host": message.host,
        "exit_code": run.exit_code,
        "begun": run.begun,
        "ended": run.ended,
        "text": message.text,
    }
    request = urllib.request.Request(  # the file's reader has seen to it that it is http
        notify.webhook, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # as above
        answer.read()
