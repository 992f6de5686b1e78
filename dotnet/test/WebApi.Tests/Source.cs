using System.Data.Common;
using Microsoft.EntityFrameworkCore.Diagnostics;

namespace Shop.Tests;

/// <summary>Between the program and its database: counts reads, holds one, and loses the answer to a COMMIT.</summary>
internal sealed class Source : DbCommandInterceptor, IDbConnectionInterceptor, IDbTransactionInterceptor
{
    private int _reads;
    private Held? _held;
    private bool _commitsAreLost;

    public int Reads => Volatile.Read(ref _reads);

    /// <summary>The next one who has read something waits before going on.</summary>
    public Held HoldNextRead() => _held = new Held();

    /// <summary>Each COMMIT is done from now on, and its answer never comes.</summary>
    public void LoseCommits() => _commitsAreLost = true;

    public override ValueTask<DbDataReader> ReaderExecutedAsync(
        DbCommand command,
        CommandExecutedEventData eventData,
        DbDataReader result,
        CancellationToken cancellationToken = default)
    {
        if (command.CommandText.StartsWith("SELECT", StringComparison.Ordinal))
        {
            Interlocked.Increment(ref _reads);
        }
        return new(result);
    }

    // The row is read, and no lock is held on it any more.
    async Task IDbConnectionInterceptor.ConnectionClosedAsync(DbConnection connection, ConnectionEndEventData eventData)
    {
        if (Interlocked.Exchange(ref _held, null) is { } held)
        {
            held.Reached.SetResult();
            await held.Released.Task;
        }
    }

    Task IDbTransactionInterceptor.TransactionCommittedAsync(
        DbTransaction transaction, TransactionEndEventData eventData, CancellationToken cancellationToken) =>
        _commitsAreLost ? throw new IOException("the answer to the COMMIT was lost") : Task.CompletedTask;

    internal sealed class Held
    {
        public TaskCompletionSource Reached { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public TaskCompletionSource Released { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
