using System.Data.Common;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;

namespace Genfence.EntityFrameworkCore;

/// <summary>What EF Core tells of, passed on to the fence of its context.</summary>
internal sealed partial class FenceInterceptor(ContextFence fence) : ISaveChangesInterceptor, IDbTransactionInterceptor, IDbCommandInterceptor
{
    async ValueTask<InterceptionResult<int>> ISaveChangesInterceptor.SavingChangesAsync(
        DbContextEventData eventData, InterceptionResult<int> result, CancellationToken cancellationToken)
    {
        if (eventData.Context is { } context)
        {
            await fence.SavingAsync(context, cancellationToken).ConfigureAwait(false);
        }
        return result;
    }

    InterceptionResult<int> ISaveChangesInterceptor.SavingChanges(DbContextEventData eventData, InterceptionResult<int> result)
    {
        if (eventData.Context is { } context)
        {
            ContextFence.Now(() => fence.SavingAsync(context, CancellationToken.None));
        }
        return result;
    }

    async ValueTask<int> ISaveChangesInterceptor.SavedChangesAsync(
        SaveChangesCompletedEventData eventData, int result, CancellationToken cancellationToken)
    {
        if (eventData.Context is { } context)
        {
            await fence.SavedAsync(context).ConfigureAwait(false);
        }
        return result;
    }

    int ISaveChangesInterceptor.SavedChanges(SaveChangesCompletedEventData eventData, int result)
    {
        if (eventData.Context is { } context)
        {
            ContextFence.Now(() => fence.SavedAsync(context));
        }
        return result;
    }

    async ValueTask<InterceptionResult> ISaveChangesInterceptor.ThrowingConcurrencyExceptionAsync(
        ConcurrencyExceptionEventData eventData, InterceptionResult result, CancellationToken cancellationToken)
    {
        if (eventData.Context is { } context)
        {
            await fence.ConflictingAsync(context).ConfigureAwait(false);
        }
        return result;
    }

    InterceptionResult ISaveChangesInterceptor.ThrowingConcurrencyException(ConcurrencyExceptionEventData eventData, InterceptionResult result)
    {
        if (eventData.Context is { } context)
        {
            ContextFence.Now(() => fence.ConflictingAsync(context));
        }
        return result;
    }

    async Task ISaveChangesInterceptor.SaveChangesFailedAsync(DbContextErrorEventData eventData, CancellationToken cancellationToken) =>
        await NotSavedAsync(eventData, eventData.Exception).ConfigureAwait(false);

    void ISaveChangesInterceptor.SaveChangesFailed(DbContextErrorEventData eventData) => ContextFence.Now(() => NotSavedAsync(eventData, eventData.Exception));

    async Task ISaveChangesInterceptor.SaveChangesCanceledAsync(DbContextEventData eventData, CancellationToken cancellationToken) =>
        await NotSavedAsync(eventData, null).ConfigureAwait(false);

    void ISaveChangesInterceptor.SaveChangesCanceled(DbContextEventData eventData) => ContextFence.Now(() => NotSavedAsync(eventData, null));

    async ValueTask<DbTransaction> IDbTransactionInterceptor.TransactionStartedAsync(
        DbConnection connection, TransactionEndEventData eventData, DbTransaction result, CancellationToken cancellationToken)
    {
        if (eventData.Context is { } context)
        {
            await fence.StartedAsync(context, result).ConfigureAwait(false);
        }
        return result;
    }

    DbTransaction IDbTransactionInterceptor.TransactionStarted(DbConnection connection, TransactionEndEventData eventData, DbTransaction result)
    {
        if (eventData.Context is { } context)
        {
            ContextFence.Now(() => fence.StartedAsync(context, result));
        }
        return result;
    }

    async ValueTask<InterceptionResult> IDbTransactionInterceptor.TransactionCommittingAsync(
        DbTransaction transaction, TransactionEventData eventData, InterceptionResult result, CancellationToken cancellationToken)
    {
        await fence.CommittingAsync(transaction, cancellationToken).ConfigureAwait(false);
        return result;
    }

    InterceptionResult IDbTransactionInterceptor.TransactionCommitting(
        DbTransaction transaction, TransactionEventData eventData, InterceptionResult result)
    {
        ContextFence.Now(() => fence.CommittingAsync(transaction, CancellationToken.None));
        return result;
    }

    async Task IDbTransactionInterceptor.TransactionCommittedAsync(
        DbTransaction transaction, TransactionEndEventData eventData, CancellationToken cancellationToken) =>
        await fence.CommittedAsync(transaction).ConfigureAwait(false);

    void IDbTransactionInterceptor.TransactionCommitted(DbTransaction transaction, TransactionEndEventData eventData) =>
        ContextFence.Now(() => fence.CommittedAsync(transaction));

    async Task IDbTransactionInterceptor.TransactionRolledBackAsync(
        DbTransaction transaction, TransactionEndEventData eventData, CancellationToken cancellationToken) =>
        await fence.RolledBackAsync(transaction).ConfigureAwait(false);

    void IDbTransactionInterceptor.TransactionRolledBack(DbTransaction transaction, TransactionEndEventData eventData) =>
        ContextFence.Now(() => fence.RolledBackAsync(transaction));

    Task IDbTransactionInterceptor.RolledBackToSavepointAsync(
        DbTransaction transaction, TransactionEventData eventData, CancellationToken cancellationToken)
    {
        ContextFence.RolledBackToSavepoint(transaction);
        return Task.CompletedTask;
    }

    void IDbTransactionInterceptor.RolledBackToSavepoint(DbTransaction transaction, TransactionEventData eventData) =>
        ContextFence.RolledBackToSavepoint(transaction);

    async Task IDbTransactionInterceptor.TransactionFailedAsync(
        DbTransaction transaction, TransactionErrorEventData eventData, CancellationToken cancellationToken) =>
        await FailedAsync(transaction, eventData).ConfigureAwait(false);

    void IDbTransactionInterceptor.TransactionFailed(DbTransaction transaction, TransactionErrorEventData eventData) =>
        ContextFence.Now(() => FailedAsync(transaction, eventData));

    private static ValueTask FailedAsync(DbTransaction transaction, TransactionErrorEventData eventData) =>
        eventData.Action == "Commit" ? ContextFence.CommitFailedAsync(transaction, eventData.Exception) : default;

    private ValueTask NotSavedAsync(DbContextEventData eventData, Exception? problem) =>
        eventData.Context is { } context ? fence.NotSavedAsync(context, problem) : default;
}

