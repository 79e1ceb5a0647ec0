"""What is recorded of a delivery in the control database: files, counts, control totals, quarantine, authority.

Called inside the lake's publishing transaction, so that facts and their record appear together or not at all.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from django.db import models
from django.utils import timezone

from attribution.models import Authority, BillingAccount, ControlTotal, Delivery, ImportedFile, QuarantinedRow
from attribution.sources.billing.charges import Account, FileTally


class SecondAuthority(Exception):
    """An account's period is fed by another delivery scope. Nothing was changed; the message says the fix."""

    retryable = False


@dataclass(frozen=True)
class Target:
    """A period that a delivery replaces. sided: only the format's own side of it."""

    scope: str
    account: Account
    sided: bool


@dataclass(frozen=True)
class File:
    """One file as it is recorded. scope_of: the delivery scope of an account's rows in it."""

    shown: str
    digest: str
    form: str
    tally: FileTally
    summary: Mapping[str, object]
    scope_of: Callable[[Account], str]


def plain(amount: Decimal) -> str:
    """An amount as text, in full, without an exponent and without trailing zeros."""
    text = f"{amount:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def residue_text(residue: Decimal) -> str:
    """A residue as text of at most 64 characters: a literal of absurd length is told with 40 digits."""
    text = plain(residue) if residue.adjusted() > -60 else str(residue)
    return text if len(text) <= 64 else f"{residue:.40E}"


def file_summary(shown: str, form: str, tally: FileTally, duplicate_of: str) -> dict[str, object]:
    """One file as `ingest --json` prints it; amounts are exact texts by currency."""
    summary: dict[str, object] = {
        "path": shown.encode("utf-8", "backslashreplace").decode(),
        "format": form,
        "provider": providers_text(tally),
        "rows_read": tally.rows_read,
        "rows_created": tally.rows_created,
        "rows_kept": tally.rows_kept,
        "rows_quarantined": tally.quarantine.rows,
        "rows_dropped": tally.rows_dropped,
        "billed_cost": _by_currency(tally.billed_cost),
        "quarantined_cost": _by_currency(tally.quarantined_cost),
        "rounding_residue": residue_text(tally.residue),
        "control_totals": _control_summary(tally),
        "dropped": [{"reason": reason, "count": count} for reason, count in sorted(tally.dropped.items())],
        "quarantine": [complaint.as_json() for complaint in tally.quarantine],
    }
    if duplicate_of:
        summary["duplicate_of"] = duplicate_of
    return summary


def _by_currency(amounts: Mapping[str, Decimal]) -> dict[str, str]:
    return {currency: plain(amount) for currency, amount in sorted(amounts.items())}


def _control_summary(tally: FileTally) -> dict[str, dict[str, str]]:
    sums: dict[str, dict[str, Decimal]] = {}
    for (_, currency, basis), control in tally.controls.items():
        of_basis = sums.setdefault(str(basis), {})
        of_basis[currency] = of_basis.get(currency, Decimal(0)) + control.amount
    return {basis: _by_currency(amounts) for basis, amounts in sums.items()}


def providers_text(tally: FileTally) -> str:
    return ",".join(sorted(tally.providers))[:64]


def refuse_second_authority(scopes: Mapping[Account, str]) -> None:
    """Raises SecondAuthority where another scope feeds one of the accounts' periods."""
    for account, scope in scopes.items():
        known = Authority.objects.filter(**_account(account)).first()
        if known is not None and known.scope != scope:
            raise SecondAuthority(
                f"{account.provider} account {account.billing_account_id}, {account.billing_period} is fed by "
                f"{known.scope}; these files are {scope}. Counting both would count the bill twice. If they are the "
                f"same delivery, say --scope {known.scope!r}; else ingest only one of them"
            )


def record(source: str, files: Sequence[File], targets: Iterable[Target]) -> Delivery:
    """Write down a delivery, and make its control totals those of the periods that it replaces."""
    targets = list(targets)
    refuse_second_authority({target.account: target.scope for target in targets})
    now = timezone.now()
    delivery = Delivery.objects.create(
        kind=Delivery.Kind.BILLING,
        status=Delivery.Status.DONE,
        source=source,
        started_at=now,
        finished_at=now,
    )
    for target in targets:
        _take_over(target, {file.form for file in files})
    for file in files:
        _record_file(delivery, file)
    return delivery


def note_changes(delivery: Delivery, changes: int) -> None:
    """How many partitions got a new revision; known when the swap is done."""
    delivery.changes = changes
    delivery.save(update_fields=["changes"])


def record_failure(source: str, error: str) -> None:
    """Write down a delivery that changed nothing."""
    now = timezone.now()
    Delivery.objects.create(
        kind=Delivery.Kind.BILLING,
        status=Delivery.Status.FAILED,
        source=source,
        started_at=now,
        finished_at=now,
        error=error[:10_000],
    )


def _account(account: Account) -> dict[str, str]:
    return {
        "provider": account.provider,
        "billing_account_id": account.billing_account_id,
        "billing_period": account.billing_period,
    }


def _take_over(target: Target, forms: set[str]) -> None:
    Authority.objects.get_or_create(**_account(target.account), defaults={"scope": target.scope})
    BillingAccount.objects.get_or_create(
        provider=target.account.provider, billing_account_id=target.account.billing_account_id
    )
    replaced = models.Q(**_account(target.account), scope=target.scope, current=True)
    if target.sided:
        replaced &= models.Q(file__format__in=forms)
    ControlTotal.objects.filter(replaced).update(current=False)


def _record_file(delivery: Delivery, file: File) -> None:
    tally = file.tally
    row = ImportedFile.objects.create(
        delivery=delivery,
        path=_stored_path(file.shown),
        sha256=file.digest,
        format=file.form,
        provider=providers_text(tally),
        rows_read=tally.rows_read,
        rows_created=tally.rows_created,
        rows_kept=tally.rows_kept,
        rows_quarantined=tally.quarantine.rows,
        rows_dropped=tally.rows_dropped,
        rounding_residue=residue_text(tally.residue),
        summary={**file.summary, "path": _stored_path(file.shown)},
    )
    ControlTotal.objects.bulk_create(
        [
            ControlTotal(
                file=row,
                scope=file.scope_of(account),
                **_account(account),
                currency=currency,
                basis=basis,
                amount=plain(control.amount),
                rows=control.rows,
            )
            for (account, currency, basis), control in tally.controls.items()
        ],
        batch_size=500,
    )
    QuarantinedRow.objects.bulk_create(
        [
            QuarantinedRow(
                file=row,
                line=complaint.line,
                field=complaint.field[:200],
                value=complaint.value,
                reason=complaint.reason[:500],
                count=complaint.count,
            )
            for complaint in tally.quarantine
        ],
        batch_size=500,
    )


def _stored_path(shown: str) -> str:
    """As the operator named it; of an absolute path only the file's name, since where it lay is nobody's business."""
    path = Path(shown)
    text = path.name if path.is_absolute() else shown
    return text.encode("utf-8", "replace").decode()[-1000:]
