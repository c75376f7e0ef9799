"""Bounded list of differences between two stores: sentences with ids, never with content."""

MAX_SHOWN = 10


class DifferenceList:
    """Counts all differences, and stores the first ten."""

    def __init__(self) -> None:
        self.count = 0
        self.shown: list[str] = []

    def add(self, sentence: str) -> None:
        self.count += 1
        if len(self.shown) < MAX_SHOWN:
            self.shown.append(sentence)

    def print_under(self, heading: str) -> None:
        print(f"{heading}; the first ones:")
        for sentence in self.shown:
            print(f"  {sentence}")
