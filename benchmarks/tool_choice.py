"""Which tool a reader picks for a task in a user's words: 40 tasks, and 64 later ones, judged from `tools/list` alone.

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
LATER: tuple[tuple[str, str], ...] = (
    ("the invoices endpoint times out since this morning, find out which statement takes so long", "db_query"),
    ("how big is the events table and when was it last analyzed", "db_schema db_query"),
    ("is there any row with a negative balance", "db_query"),
    ("set the status of order 4711 to cancelled in production", "run_migration escalate"),
    ("we need a column for the VAT rate on invoices", "rehearse_migration write_file"),
    ("can I drop the legacy_id column safely", "rehearse_migration"),
    ("which migrations have not been applied on staging", "db_schema"),
    ("compare the schemas of staging and production", "db_schema"),
    ("undo migration 0042 on my local database", "run_migration"),
    ("backfill the new column in batches", "rehearse_migration write_file"),
    ("how many unprocessed messages does the mailer group have", "message_topology"),
    ("consumer lag is growing, what is stuck", "message_topology"),
    ("look at the payload of message 8123 in stream ORDERS", "peek_messages"),
    ("has anyone published to user.deleted in the last hour", "peek_messages"),
    ("republish the failed message with a corrected address", "publish_message"),
    ("acknowledge the poison message so the worker continues", ""),
    ("keep events for 30 days instead of 7", "configure_messaging"),
    ("add a dead letter queue for the payments consumer", "configure_messaging"),
    ("delete the topic that the old importer used", "configure_messaging"),
    ("what schema do events on invoice.paid have to follow", "message_topology api_contract"),
    ("what status code must DELETE /users/{id} return according to the spec", "api_contract"),
    ("our proto file has a new field, do old clients still work", "check_contract"),
    ("the spec doesn't say what happens with an empty cart", "escalate"),
    ("post a test order to localhost:8080 and show me what comes back", "call_api"),
    ("does the running server answer what the spec promises", "check_contract"),
    ("open a websocket to the price feed and read a few frames", "call_api"),
    ("which endpoints have we not implemented yet", "check_contract"),
    ("add a nullable field to the response of GET /orders in the openapi file", "escalate"),
    ("change the colour of the checkout button", "escalate"),
    ("what did the last five commits do", "git_status"),
    ("who wrote this line and why (blame)", "run_command"),
    ("show the diff against main", "git_status"),
    ("save my work as a commit, only the files under billing", "git_commit"),
    ("fix the message of the last commit", "git_commit"),
    ("throw away my changes to settings.py", "run_command"),
    ("get the newest main from the server", "git_branch"),
    ("my branch has fallen behind and CI complains, replay my commits on top of origin/main", "git_rebase"),
    ("publish the branch and open a pull request", "git_push"),
    ("rewrite the remote branch after I squashed", "git_push"),
    ("delete the branch that was merged last week", "git_branch"),
    ("stash what I have, I need to look at something else", ""),
    ("are the tests green", "run_tests"),
    ("only run what my change touches", "run_tests"),
    ("how much of the pricing module do the tests cover", "run_tests"),
    ("the nightly test fails once in ten runs, run it twenty times", "run_command"),
    ("format the code and run the linter", "run_command"),
    ("install the missing python package", "run_command"),
    ("start the server in the background and keep it running", ""),
    ("show me lines 200 to 260 of service.py", "read_file"),
    ("rename the function calc to calculate everywhere", "find_symbol edit_file"),
    ("what is in the config directory", "read_file"),
    ("remove the file old_import.py", "run_command"),
    ("where is the environment variable STRIPE_KEY read", "search_code"),
    ("which functions does orders/service.py contain", "find_symbol"),
    ("replace the hard coded timeout of 5 by 30 in client.go", "edit_file"),
    ("create a handler file for refunds", "write_file"),
    ("did the product owner decide about the rounding", "check_escalation"),
    ("we can either lock the table for ten minutes or accept stale reads, which one", "escalate"),
    ("withdraw my question about the currency, it solved itself", "escalate"),
    ("send an e-mail to the customer whose order failed", ""),
    ("how long would the query take if we had an index on created_at", ""),
    ("generate the grpc stubs again", "run_command"),
    ("what may I not do in this repository", ""),
    ("what was done here last night by the other agent", ""),
)
"""A day of a backend engineer, written without the descriptions at hand. "" is what no tool does: the mechanical reader
is not asked, a tool that is near says that it does not do it."""


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
    lines: list[str] = []
    for title, tasks in (("tool choice, BM25", TASKS), ("later tasks", LATER)):
        places: list[int] = []
        misses: list[str] = []
        for task, wanted in tasks:
            if not wanted:
                continue
            order = ranked(task, documents)
            places.append(min(order.index(name) for name in wanted.split()) + 1)
            if places[-1] > 1:
                misses.append(f"  {places[-1]:2}. {wanted.split()[0]:20} {task}  (first: {order[0]})")
        first, three = sum(p == 1 for p in places), sum(p <= 3 for p in places)
        lines.append(f"{title}: {first} of {len(places)} first, {three} among three, worst {max(places)}")
        lines += misses if "--misses" in sys.argv else []
    return lines


if __name__ == "__main__":
    print("\n".join(asyncio.run(measure())))
