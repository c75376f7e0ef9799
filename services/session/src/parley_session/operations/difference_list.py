"""What does not agree between the store and the log: sentences with ids, and never a text."""

SHOWN = 10


class DifferenceList:
    """Counts all, keeps the first ten."""

    def __init__(self) -> None:
        self.count = 0
        self.shown: list[str] = []

    def add(self, sentence: str) -> None:
        self.count += 1
        if len(self.shown) < SHOWN:
            self.shown.append(sentence)
