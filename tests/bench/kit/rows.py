"""Rows of figures: what was measured for whom, their medians, ratios and goals."""

import statistics


class Row:
    """One metric of one kind of work.  `better`: "higher" or "lower".  `goals`: pairs of a text and a function of
    (netlab's median, and from the ratios to them the reflector's and the best peer's, or None) that tells whether it
    holds, None when it cannot be told."""

    def __init__(self, name, unit, better=None, goals=()):
        self.name, self.unit, self.better, self.goals = name, unit, better, list(goals)
        self.values, self.notes = {}, {}

    def add(self, server, value):
        self.values.setdefault(server, []).append(value)

    def note(self, server, text):
        """Why there is no figure."""
        self.notes.setdefault(server, text)

    def median(self, server):
        values = self.values.get(server)
        return statistics.median(values) if values else None

    def best_peer(self):
        medians = {server: self.median(server) for server in self.values if server not in ("netlab", "floor")}
        if not medians or self.better is None:
            return None, None
        return (max if self.better == "higher" else min)(((value, server) for server, value in medians.items()))

    def ratio(self, to):
        """The median of the rounds' ratios: what the machine did in one round met both of them."""
        own, other = self.values.get("netlab"), self.values.get("floor" if to == "floor" else self.best_peer()[1])
        if not own or not other:
            return None
        if len(own) != len(other):
            own, other = [self.median("netlab")], [statistics.median(other)]
        ratios = [mine / its for mine, its in zip(own, other) if its]
        return statistics.median(ratios) if ratios else None

    def verdicts(self):
        own = self.median("netlab")
        if own is None:
            return [(text, None) for text, _ in self.goals]
        floor, peer = (own / ratio if ratio else None for ratio in (self.ratio("floor"), self.ratio("peer")))
        if floor is None:
            floor = self.median("floor")
        if peer is None:
            peer = self.best_peer()[0]
        return [(text, holds(own, floor, peer)) for text, holds in self.goals]

    def missed(self):
        """No goal of it holds.  Figures of a faster or quieter machine than the one at hand may be out of reach
        where the ratios that they stand for are met."""
        known = [holds for _, holds in self.verdicts() if holds is not None]
        return bool(known) and not any(known)

    def as_json(self):
        return {
            "name": self.name, "unit": self.unit, "better": self.better, "values": self.values, "notes": self.notes,
            "medians": {server: self.median(server) for server in self.values},
            "best_peer": self.best_peer()[1], "netlab_to_floor": self.ratio("floor"), "netlab_to_peer": self.ratio("peer"),
            "goals": [{"goal": text, "holds": holds} for text, holds in self.verdicts()], "missed": self.missed(),
        }


def at_least(number):
    return f">= {number:g}", lambda own, floor, peer: own >= number


def at_most(number):
    return f"<= {number:g}", lambda own, floor, peer: own <= number


def at_least_of_floor(factor):
    return f">= {factor:g} x floor", lambda own, floor, peer: own >= factor * floor if floor else None


def at_most_above_floor(amount):
    return f"<= floor + {amount:g}", lambda own, floor, peer: own <= floor + amount if floor else None


def at_most_of_floor(factor):
    return f"<= {factor:g} x floor", lambda own, floor, peer: own <= factor * floor if floor else None


def at_least_of_peer(factor):
    return f">= {factor:g} x peer", lambda own, floor, peer: own >= factor * peer if peer else None


def at_most_of_peer(factor):
    return f"<= {factor:g} x peer", lambda own, floor, peer: own <= factor * peer if peer else None


def _figure(value):
    if value is None:
        return "-"
    if value == 0:
        return "0"
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 4
    return f"{value:,.{digits}f}"


def print_table(title, servers, rows, out):
    """Columns: netlab, its peers, the reflector, the two ratios, and each goal with "yes", "NO" or "?"."""
    order = [server for server in servers if server == "netlab"] + \
            [server for server in servers if server not in ("netlab", "floor")] + \
            [server for server in servers if server == "floor"]
    head = [title, "unit", *order, "/floor", "/peer", "goal"]
    lines = [head]
    for row in rows:
        goals = ", ".join(text + {True: " yes", False: " NO", None: " ?"}[holds] for text, holds in row.verdicts())
        ratios = [f"{ratio:.2f}" if ratio else "-" for ratio in (row.ratio("floor"), row.ratio("peer"))]
        lines.append([row.name, row.unit, *(_figure(row.median(server)) for server in order), *ratios, goals])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        cells = [cell.ljust(width) if i < 2 or i == len(line) - 1 else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(line, widths))]
        print("  ".join(cells).rstrip(), file=out)
    said = set()
    for row in rows:
        for server, text in row.notes.items():
            # One cause often takes all rows of a server.
            if (server, text) not in said:
                said.add((server, text))
                print(f"  {server}: {text}", file=out)
    print(file=out, flush=True)
