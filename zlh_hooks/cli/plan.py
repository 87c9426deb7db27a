"""``zlh-hooks plan``: what a rollout would do. Changes nothing."""

from typing import Annotated

import typer

from zlh_hooks import wiring
from zlh_hooks.cli.option import Config, Json, PolicyFile, Security
from zlh_hooks.cli.output import print_json, print_table
from zlh_hooks.cli.view import PLAN_COLUMNS, PREVIEW_COLUMNS, row_of_preview, rows_of_plan
from zlh_hooks.domain.plan import Plan, dump_plan


def show_plan(
    line: Annotated[str, typer.Argument(help="The template line, e.g. game-base.")],
    to: Annotated[str, typer.Option("--to", help="The version to bring.")],
    config: Config = None,
    policy: PolicyFile = None,
    security: Security = False,
    json: Json = False,
) -> None:
    """Show which guests would get a version, in which waves, and who is left out and why."""
    site = wiring.open_site(config, policy)
    plan = site.planner().plan_rollout(line, to, site.author, security=security)
    if json:
        print_json(dump_plan(plan))
    else:
        print_table(PLAN_COLUMNS, rows_of_plan(plan))
        print_customers(site, plan)


def print_customers(site: wiring.Site, plan: Plan) -> None:
    """Who is told of the plan, how, and from when on their servers may be touched; nothing where nobody is promised."""
    if plan.notices is not None and plan.targets:
        print_table(PREVIEW_COLUMNS, [row_of_preview(one) for one in site.notice_desk().preview(plan)])
