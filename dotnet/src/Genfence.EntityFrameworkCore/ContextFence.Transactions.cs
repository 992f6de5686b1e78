using System.Data.Common;
using Genfence.Native;
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
        (_context, _transaction, _open) = (context, transaction, OpenTransaction.Begun(transaction, Cache, this, early));
    }

    /// <summary>Whether the context is still in this transaction, which it has begun.</summary>
    public bool IsIn(OpenTransaction open) => _open == open && _transaction == TransactionOf(_context!);

    public async ValueTask CommittingAsync(DbTransaction transaction, CancellationToken cancellation)
    {
        var all = OpenTransaction.Of(transaction);
        foreach (var open in all)
        {
            if (open.Fence.IsOver)
            {
                open.BeginAgain();
            }
            if (open == _open && _save is { } save && save.Own == transaction)
            {
                save.CollectLate();
                open.Fence.Add(save.Keys);
            }
            await open.Fence.CommittingAsync(cancellation).ConfigureAwait(false);
        }
        foreach (var open in all)
        {
            await DatabaseTransaction.BoundCommitAsync(transaction, open.Fence, cancellation).ConfigureAwait(false);
        }
        foreach (var open in all)
        {
            open.IsSent = true;
        }
    }

    public async ValueTask CommittedAsync(DbTransaction transaction)
    {
        foreach (var fence in Ended(transaction))
        {
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
    }

    public async ValueTask RolledBackAsync(DbTransaction transaction)
    {
        foreach (var fence in Ended(transaction))
        {
            await fence.RolledBackAsync().ConfigureAwait(false);
        }
    }

    /// <summary>A COMMIT failed, and may have been done. The transaction is still open for EF Core, which may try it again.</summary>
    public static async ValueTask CommitFailedAsync(DbTransaction transaction, Exception problem)
    {
        foreach (var open in OpenTransaction.Of(transaction).Where(open => !open.Fence.IsOver))
        {
            if (open.IsSent)
            {
                await open.Fence.FailedAsync(problem).ConfigureAwait(false);
            }
            else
            {
                await open.Fence.RolledBackAsync().ConfigureAwait(false);
            }
        }
    }

    /// <summary>What was changed since the savepoint is not, so values that were told of may not be; the keys stay reserved.</summary>
    public static void RolledBackToSavepoint(DbTransaction transaction)
    {
        foreach (var open in OpenTransaction.Of(transaction))
        {
            open.Fence.ForgetAll();
        }
    }

    /// <summary>On this thread, which goes on when it is done: it may be the last one that there is.</summary>
    public static void Now(Func<ValueTask> call)
    {
        using var blocking = Blocking.Begin();
        var task = call();
        if (!task.IsCompletedSuccessfully)
        {
            task.AsTask().GetAwaiter().GetResult();
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
        if (_save is { } save)
        {
            Now(() => NotDoneAsync(save, null));
        }
        _save = null;
        // A transaction that somebody else began may go on without this context; its own is rolled back with it.
        if (_transaction is { } transaction && _open is { IsSent: false } open)
        {
            Now(() => ForgetAsync(transaction, open));
        }
        (_transaction, _open) = (null, null);
    }

    /// <summary>It is open no more; its fences that nobody has told yet.</summary>
    private TransactionFence[] Ended(DbTransaction transaction)
    {
        var open = OpenTransaction.Of(transaction);
        OpenTransaction.Ended(transaction);
        if (_transaction == transaction)
        {
            (_transaction, _open) = (null, null);
        }
        return [.. open.Select(one => one.Fence).Where(fence => !fence.IsOver)];
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
        if (open.Owner != this)
        {
            return;
        }
        foreach (var fence in OpenTransaction.Ended(transaction, open).Select(one => one.Fence).Where(fence => !fence.IsOver))
        {
            await fence.RolledBackAsync().ConfigureAwait(false);
        }
    }
}
