"""How old the samples are that a query answers from: a plain selector takes the last one of up to five minutes."""

import functools

from ombak.alarms.traps import selectors


@functools.lru_cache(maxsize=4096)
def oldest_query(rendered: str) -> str:
    """A query for the time of the oldest sample that a query reads by plain selectors; empty if it reads none.

    A range says itself how far back it reads, and is in the look-back of the query. Of a selector without a name
    nothing is asked: times have no names, so those of two metrics could be confused.
    """
    read = dict.fromkeys(str(one) for one in selectors(rendered) if one.range is None and one.name)
    each = [f"min(timestamp({selector}))" for selector in read]
    if len(each) < 2:
        return "".join(each)
    marked = (f'label_replace({one}, "of", "{index}", "", "")' for index, one in enumerate(each))
    return f"min({' or '.join(marked)})"
