"""``zlh-hooks plan``: what a rollout would do. Changes nothing."""

from typing import Annotated

import typer

from zlh_hooks import wiring
from zlh_hooks.cli.option import Config, Emergency, Json, PolicyFile, Security
from zlh_hooks.cli.output import print_json, print_table
from zlh_hooks.cli.view import PLAN_COLUMNS, PREVIEW_COLUMNS, row_of_preview, rows_of_plan
from zlh_hooks.domain.plan import Plan, dump_plan


def show_plan(
    line: Annotated[str, typer.Argument(help="The template line, e.g. game-base.")],
    to: Annotated[str, typer.Option("--to", help="The version to bring.")],
    config: Config = None,
    policy: PolicyFile = None,
    security: Security = False,
    emergency: Emergency = False,
    json: Json = False,
) -> None:
    """Show which guests would get a version, in which waves, and who is left out or would be skipped, and why."""
    site = wiring.open_site(config, policy)
    plan = site.make_plan(line, to, security=security, emergency=emergency)
    if json:
        print_json(dump_plan(plan) | {"foreseen": site.foresee(plan)})
    else:
        print_plan(site, plan)


def print_plan(site: wiring.Site, plan: Plan) -> None:
    """The plan as people read it before they say yes."""
    print_table(PLAN_COLUMNS, rows_of_plan(plan, site.foresee(plan)))
    print_customers(site, plan)


def print_customers(site: wiring.Site, plan: Plan) -> None:
    """Who is told of the plan, how, and from when on their servers may be touched; nothing where nobody is promised."""
    if plan.notices is not None and plan.targets:
        print_table(PREVIEW_COLUMNS, [row_of_preview(one) for one in site.notice_desk().preview(plan)])
