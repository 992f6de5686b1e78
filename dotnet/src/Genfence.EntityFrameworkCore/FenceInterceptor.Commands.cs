using System.Data.Common;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;

namespace Genfence.EntityFrameworkCore;

// The statements.
internal sealed partial class FenceInterceptor
{
    async ValueTask<InterceptionResult<DbDataReader>> IDbCommandInterceptor.ReaderExecutingAsync(
        DbCommand command, CommandEventData eventData, InterceptionResult<DbDataReader> result, CancellationToken cancellationToken)
    {
        await SendingAsync(command, eventData, cancellationToken).ConfigureAwait(false);
        return result;
    }

    InterceptionResult<DbDataReader> IDbCommandInterceptor.ReaderExecuting(
        DbCommand command, CommandEventData eventData, InterceptionResult<DbDataReader> result)
    {
        ContextFence.Now(() => SendingAsync(command, eventData, CancellationToken.None));
        return result;
    }

    async ValueTask<InterceptionResult<object>> IDbCommandInterceptor.ScalarExecutingAsync(
        DbCommand command, CommandEventData eventData, InterceptionResult<object> result, CancellationToken cancellationToken)
    {
        await SendingAsync(command, eventData, cancellationToken).ConfigureAwait(false);
        return result;
    }

    InterceptionResult<object> IDbCommandInterceptor.ScalarExecuting(
        DbCommand command, CommandEventData eventData, InterceptionResult<object> result)
    {
        ContextFence.Now(() => SendingAsync(command, eventData, CancellationToken.None));
        return result;
    }

    async ValueTask<InterceptionResult<int>> IDbCommandInterceptor.NonQueryExecutingAsync(
        DbCommand command, CommandEventData eventData, InterceptionResult<int> result, CancellationToken cancellationToken)
    {
        await SendingAsync(command, eventData, cancellationToken).ConfigureAwait(false);
        return result;
    }

    InterceptionResult<int> IDbCommandInterceptor.NonQueryExecuting(
        DbCommand command, CommandEventData eventData, InterceptionResult<int> result)
    {
        ContextFence.Now(() => SendingAsync(command, eventData, CancellationToken.None));
        return result;
    }

    async ValueTask<int> IDbCommandInterceptor.NonQueryExecutedAsync(
        DbCommand command, CommandExecutedEventData eventData, int result, CancellationToken cancellationToken)
    {
        await SentAsync(eventData).ConfigureAwait(false);
        return result;
    }

    int IDbCommandInterceptor.NonQueryExecuted(DbCommand command, CommandExecutedEventData eventData, int result)
    {
        ContextFence.Now(() => SentAsync(eventData));
        return result;
    }

    async Task IDbCommandInterceptor.CommandFailedAsync(DbCommand command, CommandErrorEventData eventData, CancellationToken cancellationToken) =>
        await NotSentAsync(eventData, eventData.Exception).ConfigureAwait(false);

    void IDbCommandInterceptor.CommandFailed(DbCommand command, CommandErrorEventData eventData) =>
        ContextFence.Now(() => NotSentAsync(eventData, eventData.Exception));

    async Task IDbCommandInterceptor.CommandCanceledAsync(DbCommand command, CommandEndEventData eventData, CancellationToken cancellationToken) =>
        await NotSentAsync(eventData, null).ConfigureAwait(false);

    void IDbCommandInterceptor.CommandCanceled(DbCommand command, CommandEndEventData eventData) => ContextFence.Now(() => NotSentAsync(eventData, null));

    private ValueTask SendingAsync(DbCommand command, CommandEventData eventData, CancellationToken cancellation) => eventData switch
    {
        { Context: { } context, CommandSource: CommandSource.SaveChanges } => fence.SendingOfSaveAsync(context, command, cancellation),
        { Context: { } context } when IsUntracked(eventData) => fence.SendingAsync(context, command, eventData.CommandSource, cancellation),
        _ => default,
    };

    private ValueTask SentAsync(CommandCorrelatedEventData eventData) => IsUntracked(eventData) ? fence.SentAsync() : default;

    private ValueTask NotSentAsync(CommandCorrelatedEventData eventData, Exception? problem) => eventData.CommandSource == CommandSource.SaveChanges
        ? fence.NotSentOfSaveAsync(problem)
        : IsUntracked(eventData) ? fence.NotSentAsync(problem) : default;

    /// <summary>Whether it may change rows that the change tracker knows nothing of.</summary>
    private static bool IsUntracked(CommandCorrelatedEventData eventData) => eventData.CommandSource
        is CommandSource.ExecuteUpdate or CommandSource.ExecuteDelete or CommandSource.ExecuteSqlRaw or CommandSource.FromSqlQuery;
}
