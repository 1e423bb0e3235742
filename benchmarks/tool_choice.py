"""Which tool a reader picks for a task in a user's words: 40 tasks, judged from `tools/list` alone.

`python -m benchmarks.tool_choice`. The reader is mechanical: BM25 over name, title and description (k1 1.2, b 0.75;
Robertson and Zaragoza, 2009), which is how hosts that defer tools search for them. It knows no synonyms and no intent:
a miss shows words that the description lacks, not a model that would err. Tasks are written before looking at scores.
"""

import asyncio
import math
import re
import sys
from collections import Counter
from collections.abc import Mapping

from mcp_backend.tools import TOOLS

TASKS: tuple[tuple[str, str], ...] = (
    ("what columns does the orders table have?", "db_schema"),
    ("which tables reference customers by foreign key", "db_schema"),
    ("how many orders were placed yesterday?", "db_query"),
    ("why is this select so slow, show me the query plan", "db_query"),
    ("is there an index on orders.customer", "db_schema"),
    ("would this alter table lock production for long?", "rehearse_migration"),
    ("try the migration on a copy of the database before we deploy", "rehearse_migration"),
    ("apply the pending migrations to staging", "run_migration"),
    ("roll back the last migration", "run_migration"),
    ("add a discount column to the live database", "run_migration rehearse_migration"),
    ("how far behind is the billing consumer?", "message_topology"),
    ("list the kafka topics and who reads them", "message_topology"),
    ("send an order created event", "publish_message"),
    ("replay this message onto the queue", "publish_message"),
    ("show me the last few events on orders.created", "peek_messages"),
    ("what is in the dead letter queue", "peek_messages message_topology"),
    ("create a jetstream stream with 7 days retention", "configure_messaging"),
    ("purge the test stream", "configure_messaging"),
    ("increase the partitions of the orders topic", "configure_messaging"),
    ("what does the openapi spec say about POST /orders", "api_contract"),
    ("which fields does the graphql type Order have", "api_contract"),
    ("does our service still match the api specification?", "check_contract"),
    ("did the spec change break clients since the last release", "check_contract"),
    ("send a GET request to the running service and show the response", "call_api"),
    ("try the grpc method CreateOrder on the dev server", "call_api"),
    ("what have I changed so far?", "git_status"),
    ("which branch am I on and is it ahead of origin", "git_status git_branch"),
    ("commit the work with a good message", "git_commit"),
    ("start a new branch for this feature", "git_branch"),
    ("push my branch so others can review it", "git_push"),
    ("bring my branch up to date with main", "git_rebase git_branch"),
    ("resolve the merge conflict and go on", "git_rebase"),
    ("run the unit tests for the pricing module", "run_tests"),
    ("which tests fail?", "run_tests"),
    ("the requirement is ambiguous, who decides?", "escalate"),
    ("ask the frontend team to agree on a new response format", "escalate"),
    ("has the architect replied yet?", "check_escalation"),
    ("find every place that logs a password", "search_code"),
    ("where is the function apply_discount defined and who calls it", "find_symbol"),
    ("install the dependencies and start the linter", "run_command"),
)
"""A task, and the tools that a good reader may start with, best first."""


def words(text: str) -> list[str]:
    """Words without endings, roughly: what a search index does."""
    return [re.sub(r"(?<=\w{3})(ing|ed|es|s)$", "", w) for w in re.findall(r"[a-z0-9]+", text.lower())]


def ranked(task: str, documents: Mapping[str, list[str]]) -> list[str]:
    """Names of tools, the likeliest first."""
    mean = sum(map(len, documents.values())) / len(documents)
    seen = Counter(word for text in documents.values() for word in set(text))
    scores: dict[str, float] = {}
    for name, text in documents.items():
        counts, score = Counter(text), 0.0
        for word in words(task):
            rare = math.log(1 + (len(documents) - seen[word] + 0.5) / (seen[word] + 0.5))
            score += rare * counts[word] * 2.2 / (counts[word] + 1.2 * (0.25 + 0.75 * len(text) / mean))
        scores[name] = score
    return sorted(scores, key=lambda name: -scores[name])


async def measure() -> list[str]:
    """Lines of a table."""
    documents = {t.name: words(f"{t.name.replace('_', ' ')} {t.title} {t.description()}") for t in TOOLS}
    places: list[int] = []
    lines: list[str] = []
    for task, wanted in TASKS:
        order = ranked(task, documents)
        places.append(min(order.index(name) for name in wanted.split()) + 1)
        if places[-1] > 1:
            lines.append(f"  {places[-1]:2}. {wanted.split()[0]:20} {task}  (first: {order[0]})")
    first, three = sum(p == 1 for p in places), sum(p <= 3 for p in places)
    head = f"tool choice, BM25: {first} of {len(TASKS)} first, {three} among three, worst {max(places)}"
    return [head, *(lines if "--misses" in sys.argv else [])]


if __name__ == "__main__":
    print("\n".join(asyncio.run(measure())))
