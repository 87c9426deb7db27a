"""``zlh-hooks plan``: what a rollout would do. Changes nothing."""

from typing import Annotated

import typer

from zlh_hooks import wiring
from zlh_hooks.application.signed_planning import PreparedRollout
from zlh_hooks.cli.agent_keys import Ask, open_ask
from zlh_hooks.cli.option import Config, Emergency, Json, PolicyFile, Security
from zlh_hooks.cli.output import print_json, print_table
from zlh_hooks.cli.view import PLAN_COLUMNS, PREVIEW_COLUMNS, row_of_preview, rows_of_plan
from zlh_hooks.domain.agent_release import AgentOrder
from zlh_hooks.domain.plan import AGENT, Plan, dump_plan

RolledOut = Annotated[str, typer.Argument(help="A template line, e.g. game-base; or `agent`.")]
Version = Annotated[str, typer.Option("--to", help="The version to bring; of the agent also e.g. ~=1.5.")]
OnlyLine = Annotated[str | None, typer.Option("--line", help="Agent: guests of this line alone.")]


def show_plan(
    line: RolledOut,
    to: Version,
    only: OnlyLine = None,
    config: Config = None,
    policy: PolicyFile = None,
    security: Security = False,
    emergency: Emergency = False,
    json: Json = False,
) -> None:
    """Show which guests would get a version, in which waves, and who is left out or would be skipped, and why."""
    site = wiring.open_site(config, policy)
    plan = prepare(site, line, to, only, open_ask(None), security=security, emergency=emergency).plan
    if json:
        print_json(dump_plan(plan) | {"foreseen": site.foresee(plan)})
    else:
        print_plan(site, plan)


def prepare(
    site: wiring.Site, what: str, to: str, only: str | None, ask: Ask, *, security: bool, emergency: bool
) -> PreparedRollout:
    """The plan of a rollout of a line's templates, or of the agent."""
    if what == AGENT:
        return site.prepare_signed(ask, AgentOrder(only, to), security=security, emergency=emergency)
    if only is not None:
        raise typer.BadParameter("--line is for a rollout of the agent; a template's line is named already")
    return PreparedRollout(site.make_plan(what, to, security=security, emergency=emergency))


def print_plan(site: wiring.Site, plan: Plan) -> None:
    """The plan as people read it before they say yes."""
    print_table(PLAN_COLUMNS, rows_of_plan(plan, site.foresee(plan)))
    print_customers(site, plan)


def print_customers(site: wiring.Site, plan: Plan) -> None:
    """Who is told of the plan, how, and from when on their servers may be touched; nothing where nobody is promised."""
    if plan.notices is not None and plan.targets:
        print_table(PREVIEW_COLUMNS, [row_of_preview(one) for one in site.notice_desk().preview(plan)])
