using System.Data.Common;
using Microsoft.EntityFrameworkCore.Diagnostics;

namespace Genfence.Tests.Databases;

/// <summary>Looks at what happens between EF Core and its database, after whoever came before.</summary>
public sealed class Watch : DbTransactionInterceptor, IDbCommandInterceptor
{
    /// <summary>Just before COMMIT is sent.</summary>
    public Func<Task>? Committing { get; set; }

    /// <summary>Just before a statement is sent, with its text.</summary>
    public Func<string, Task>? Sending { get; set; }

    /// <summary>How often it was begun.</summary>
    public int Transactions { get; private set; }

    public override async ValueTask<InterceptionResult> TransactionCommittingAsync(
        DbTransaction transaction, TransactionEventData eventData, InterceptionResult result, CancellationToken cancellationToken = default)
    {
        await (Committing?.Invoke() ?? Task.CompletedTask);
        return result;
    }

    public override InterceptionResult TransactionCommitting(DbTransaction transaction, TransactionEventData eventData, InterceptionResult result)
    {
        Committing?.Invoke().GetAwaiter().GetResult();
        return result;
    }

    public override ValueTask<DbTransaction> TransactionStartedAsync(
        DbConnection connection, TransactionEndEventData eventData, DbTransaction result, CancellationToken cancellationToken = default)
    {
        Transactions++;
        return new(result);
    }

    async ValueTask<InterceptionResult<DbDataReader>> IDbCommandInterceptor.ReaderExecutingAsync(
        DbCommand command, CommandEventData eventData, InterceptionResult<DbDataReader> result, CancellationToken cancellationToken)
    {
        await (Sending?.Invoke(command.CommandText) ?? Task.CompletedTask);
        return result;
    }

    InterceptionResult<DbDataReader> IDbCommandInterceptor.ReaderExecuting(
        DbCommand command, CommandEventData eventData, InterceptionResult<DbDataReader> result)
    {
        Sending?.Invoke(command.CommandText).GetAwaiter().GetResult();
        return result;
    }

    async ValueTask<InterceptionResult<int>> IDbCommandInterceptor.NonQueryExecutingAsync(
        DbCommand command, CommandEventData eventData, InterceptionResult<int> result, CancellationToken cancellationToken)
    {
        await (Sending?.Invoke(command.CommandText) ?? Task.CompletedTask);
        return result;
    }
}
