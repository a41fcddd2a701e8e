"""Rows of figures: what was measured for whom, their medians, ratios and goals."""

import statistics


class Row:
    """One metric of one kind of work.  `better`: "higher" or "lower".  `goals`: pairs of a text and a function of the row
    that tells whether it holds, None when it cannot be told.  `paired`: the figures of one turn were taken right after
    each other, so that what disturbs the machine meets all of them: netlab is compared with another turn by turn, and
    the median of that counts."""

    def __init__(self, name, unit, better=None, goals=(), paired=False):
        self.name, self.unit, self.better, self.goals, self.paired = name, unit, better, list(goals), paired
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

    def compared(self, to, how):
        """how(netlab's figure, the other's), for "floor" or the best "peer"; None when one of them has none."""
        other = "floor" if to == "floor" else self.best_peer()[1]
        if "netlab" not in self.values or other not in self.values:
            return None
        if self.paired:
            return statistics.median(how(*pair) for pair in zip(self.values["netlab"], self.values[other]))
        return how(self.median("netlab"), self.median(other))

    def ratio(self, to):
        return self.compared(to, lambda own, other: own / other if other else float("inf"))

    def above_floor(self):
        return self.compared("floor", lambda own, other: own - other)

    def verdicts(self):
        return [(text, holds(self)) for text, holds in self.goals]

    def missed(self):
        """No goal of it holds.  Figures of a faster or quieter machine than the one at hand may be out of reach
        where the ratios that they stand for are met."""
        known = [holds for _, holds in self.verdicts() if holds is not None]
        return bool(known) and not any(known)

    def as_json(self):
        return {
            "name": self.name, "unit": self.unit, "better": self.better, "values": self.values, "notes": self.notes,
            "medians": {server: self.median(server) for server in self.values},
            "best_peer": self.best_peer()[1], "paired": self.paired, "netlab_above_floor": self.above_floor(),
            "netlab_to_floor": self.ratio("floor"), "netlab_to_peer": self.ratio("peer"),
            "goals": [{"goal": text, "holds": holds} for text, holds in self.verdicts()], "missed": self.missed(),
        }


def _known(value, holds):
    return None if value is None else holds(value)


def at_least(number):
    return f">= {number:g}", lambda row: _known(row.median("netlab"), lambda own: own >= number)


def at_most(number):
    return f"<= {number:g}", lambda row: _known(row.median("netlab"), lambda own: own <= number)


def at_least_of_floor(factor):
    return f">= {factor:g} x floor", lambda row: _known(row.ratio("floor"), lambda ratio: ratio >= factor)


def at_most_above_floor(amount):
    return f"<= floor + {amount:g}", lambda row: _known(row.above_floor(), lambda above: above <= amount)


def at_most_of_floor(factor):
    return f"<= {factor:g} x floor", lambda row: _known(row.ratio("floor"), lambda ratio: ratio <= factor)


def at_least_of_peer(factor):
    return f">= {factor:g} x peer", lambda row: _known(row.ratio("peer"), lambda ratio: ratio >= factor)


def at_most_of_peer(factor):
    return f"<= {factor:g} x peer", lambda row: _known(row.ratio("peer"), lambda ratio: ratio <= factor)


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
