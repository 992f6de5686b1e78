using System.Data.Common;
using Microsoft.EntityFrameworkCore;

namespace Genfence.EntityFrameworkCore;

// The transactions of a context, from BEGIN until the cache was told.
internal sealed partial class ContextFence
{
    public async ValueTask StartedAsync(DbContext context, DbTransaction transaction)
    {
        Find(context);
        if (_transaction is { } before && _open is { } lost)
        {
            await ForgetAsync(before, lost).ConfigureAwait(false);
        }
        TransactionFence? early = null;
        if (_save is { } save)
        {
            save.Own = transaction;
            if (save.Statements is { IsOver: false } statements)
            {
                // It has reserved before it began its transaction.
                (early, save.Statements) = (statements, null);
            }
        }
        (_transaction, _open) = (transaction, OpenTransaction.Begun(transaction, Cache, this, early));
    }

    public async ValueTask CommittingAsync(DbTransaction transaction, CancellationToken cancellation)
    {
        if (OpenTransaction.Of(transaction) is not { } open)
        {
            return;
        }
        if (open.Fence.IsOver)
        {
            open.BeginAgain();
        }
        if (_save is { } save && save.Own == transaction)
        {
            save.CollectLate();
            open.Fence.Add(save.Keys);
        }
        if (open.Fence.Count > 0)
        {
            await open.Fence.CommittingAsync(cancellation).ConfigureAwait(false);
        }
        open.IsSent = true;
    }

    public async ValueTask CommittedAsync(DbTransaction transaction)
    {
        if (Ended(transaction) is not { IsOver: false } fence)
        {
            return;
        }
        if (_save is { } save && save.Own == transaction && save.Fence == fence)
        {
            // The values are known when the entities are as the database has them.
            save.IsCommitted = true;
        }
        else
        {
            await fence.CommittedAsync().ConfigureAwait(false);
        }
    }

    public async ValueTask RolledBackAsync(DbTransaction transaction)
    {
        if (Ended(transaction) is { IsOver: false } fence)
        {
            await fence.RolledBackAsync().ConfigureAwait(false);
        }
    }

    /// <summary>A COMMIT failed, and may have been done. The transaction is still open for EF Core, which may try it again.</summary>
    public static async ValueTask CommitFailedAsync(DbTransaction transaction, Exception problem)
    {
        if (OpenTransaction.Of(transaction) is not { Fence: { IsOver: false } fence } open)
        {
            return;
        }
        if (open.IsSent)
        {
            await fence.FailedAsync(problem).ConfigureAwait(false);
        }
        else
        {
            await fence.RolledBackAsync().ConfigureAwait(false);
        }
    }

    /// <summary>What was changed since the savepoint is not, so values that were told of may not be; the keys stay reserved.</summary>
    public static void RolledBackToSavepoint(DbTransaction transaction)
    {
        if (OpenTransaction.Of(transaction) is { Fence.IsOver: false } open)
        {
            open.Fence.ForgetAll();
        }
    }

    public void ResetState() => Dispose();

    public Task ResetStateAsync(CancellationToken cancellationToken = default)
    {
        Dispose();
        return Task.CompletedTask;
    }

    /// <summary>The context is not used any more: of what is still open nobody says what became of it.</summary>
    public void Dispose()
    {
        TakeNamed();
        _again = null;
        _statement?.Dispose();
        _statement = null;
        _save?.Statements?.Dispose();
        _save = null;
        // A transaction that somebody else began may go on without this context.
        if (_open is { Fence.IsOver: false } open && open.Owner == this)
        {
            open.Fence.Dispose();
        }
        (_transaction, _open) = (null, null);
    }

    private TransactionFence? Ended(DbTransaction transaction)
    {
        var open = OpenTransaction.Of(transaction);
        OpenTransaction.Ended(transaction);
        if (_transaction == transaction)
        {
            (_transaction, _open) = (null, null);
        }
        return open?.Fence;
    }

    private async ValueTask ForgetEndedAsync(DbContext context)
    {
        if (_transaction is { } transaction && transaction != TransactionOf(context) && _open is { } open)
        {
            await ForgetAsync(transaction, open).ConfigureAwait(false);
        }
    }

    /// <summary>A transaction that was disposed of without a word was rolled back. One that somebody else began was perhaps not.</summary>
    private async ValueTask ForgetAsync(DbTransaction transaction, OpenTransaction open)
    {
        (_transaction, _open) = (null, null);
        if (open.Owner == this && !open.Fence.IsOver)
        {
            OpenTransaction.Ended(transaction);
            await open.Fence.RolledBackAsync().ConfigureAwait(false);
        }
    }
}
