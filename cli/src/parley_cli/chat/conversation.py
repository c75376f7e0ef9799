"""The chat loop: sends each typed line as a message, or runs it as a slash command."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from parley_cli.chat.client import ChatClient, ChatError
from parley_cli.chat.screen import Screen
from parley_cli.chat.sse_events import ReplyDelta, ReplyEnded

MESSAGES_ON_RESUME = 6
MESSAGES_OF_HISTORY = 20
LISTED_SESSIONS = 20
HELP = """\
/history               show the last messages of this session
/sessions [NUMBER|ID]  list your last sessions, or continue one of them
/switch [ASSISTANT]    switch to another assistant: your latest session with it, or a new one
/new                   start a new session with this assistant
/help                  show this help
/quit                  leave the chat (or Ctrl-D)
Any other line is a message. Ctrl-C stops showing a reply; the server still completes it."""


class Conversation:
    """`succeeded` becomes False when a message or a command fails."""

    def __init__(self, client: ChatClient, screen: Screen, *, interactive: bool) -> None:
        self._client, self._screen, self._interactive = client, screen, interactive
        self._assistants = client.assistants()
        self._session: Mapping[str, Any] = {}
        self._listed: Sequence[Mapping[str, Any]] = ()
        self._version = 0
        self.succeeded = True

    def open(self, *, assistant: str | None, session: str | None, new: bool) -> None:
        """Resume the session, or start a `new` one with an assistant, or resume the latest one.

        Raises ChatError.
        """
        if session:
            self._resume(self._client.session(session))
            return
        chosen = self._find_assistant(assistant) if assistant else self._ask_assistant()
        if new:
            self._start(chosen["id"])
        else:
            self._switch(chosen)

    def run(self) -> None:
        while (line := self._next_line()) is not None:
            # Bytes that are not UTF-8 arrive as surrogates, which cannot be sent.
            line = line.encode(errors="surrogateescape").decode(errors="replace").strip()
            try:
                if line == "/quit":
                    return
                if line:
                    self._handle(line)
            except ChatError as error:
                self.succeeded = False
                self._screen.notice(str(error))

    def _next_line(self) -> str | None:
        try:
            return self._screen.read_line("you> ")
        except KeyboardInterrupt:
            return None

    def _handle(self, line: str) -> None:
        command, _, argument = line.partition(" ")
        match command:
            case "/history":
                self._show_history(MESSAGES_OF_HISTORY, requested=True)
            case "/switch":
                name = argument.strip()
                self._switch(self._find_assistant(name) if name else self._ask_assistant())
            case "/sessions":
                if argument.strip():
                    self._resume(self._find_session(argument.strip()))
                else:
                    self._list_sessions()
            case "/new":
                self._start(self._session["assistant_id"])
            case "/help":
                self._screen.notice(HELP)
            case _ if command.startswith("/"):
                raise ChatError(f"Unknown command {command}; type /help for a list.")
            case _:
                self._send(line)

    def _send(self, content: str) -> None:
        ended = ReplyEnded(self._version, None)
        try:
            with self._screen.reply(self._assistant_name()) as write:
                for part in self._client.reply(self._session["id"], content):
                    match part:
                        case ReplyDelta():
                            write(part.text)
                        case ReplyEnded():
                            ended = part
        except KeyboardInterrupt:
            self._screen.notice(
                "The server completes the reply; /history shows it once it is complete."
            )
        self._version = ended.version
        if ended.error:
            raise ChatError(ended.error)

    def _start(self, assistant_id: str) -> None:
        self._enter(self._client.start_session(assistant_id))

    def _resume(self, session: Mapping[str, Any]) -> None:
        self._enter(session)
        self._show_history(MESSAGES_ON_RESUME)

    def _list_sessions(self) -> None:
        self._listed = self._client.sessions(LISTED_SESSIONS)
        for number, session in enumerate(self._listed, start=1):
            time = datetime.fromisoformat(session["updated_at"]).astimezone()
            title = session["title"] or session["id"]
            name = self._name_of(session["assistant_id"])
            self._screen.notice(f"{number:>2}. {time:%Y-%m-%d %H:%M}  {name}  {title}")
        self._screen.notice("/sessions NUMBER continues one of them.")

    def _find_session(self, text: str) -> Mapping[str, Any]:
        """The session with this ID, or number in the last list. Raises ChatError."""
        if not text.isdecimal():
            return self._client.session(text)
        self._listed = self._listed or self._client.sessions(LISTED_SESSIONS)
        if not 1 <= int(text) <= len(self._listed):
            raise ChatError(f"No session has the number {text}; type /sessions for a list.")
        return self._listed[int(text) - 1]

    def _switch(self, assistant: Mapping[str, Any]) -> None:
        switched = self._client.switch_assistant(assistant["id"])
        self._enter(switched["session"])
        self._show(switched["messages"][-MESSAGES_ON_RESUME:])

    def _enter(self, session: Mapping[str, Any]) -> None:
        self._session, self._version = session, 0
        kind = "new session" if session["version"] == 1 else "session"
        self._screen.notice(f"{self._assistant_name()}, {kind} {session['id']}. /help for help.")

    def _show_history(self, limit: int, *, requested: bool = False) -> None:
        messages, behind = self._client.history(self._session["id"], limit, self._version)
        self._show(messages, requested=requested)
        if behind:
            self._screen.notice("The latest messages are not shown yet; try /history later.")

    def _show(self, messages: list[dict[str, Any]], *, requested: bool = False) -> None:
        for message in messages:
            author = "you" if message["role"] == "user" else self._assistant_name()
            self._screen.message(author, message["content"], requested=requested)

    def _assistant_name(self) -> str:
        return self._name_of(self._session["assistant_id"])

    def _name_of(self, assistant_id: str) -> str:
        names = {assistant["id"]: assistant["name"] for assistant in self._assistants}
        return str(names.get(assistant_id, assistant_id))

    def _ask_assistant(self) -> Mapping[str, Any]:
        """The assistant that the user chooses; the default one if the chat is not interactive."""
        default = next((a for a in self._assistants if a["default"]), self._assistants[0])
        if not self._interactive:
            return default
        for number, assistant in enumerate(self._assistants, start=1):
            self._screen.notice(f"{number}. {assistant['name']}: {assistant['description']}")
        choice = self._screen.read_line(f"Assistant? [{default['name']}] ")
        return self._find_assistant(choice.strip()) if choice and choice.strip() else default

    def _find_assistant(self, text: str) -> Mapping[str, Any]:
        """The assistant with this ID, name or number. Raises ChatError."""
        for number, assistant in enumerate(self._assistants, start=1):
            if text.lower() in (assistant["id"].lower(), assistant["name"].lower(), str(number)):
                return assistant
        ids = ", ".join(assistant["id"] for assistant in self._assistants)
        raise ChatError(f"Unknown assistant {text}; available: {ids}.")
