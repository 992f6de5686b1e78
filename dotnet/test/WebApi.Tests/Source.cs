using System.Data.Common;
using Microsoft.EntityFrameworkCore.Diagnostics;

namespace Shop.Tests;

/// <summary>Between the program and its database: counts reads, holds one, and loses the answer to a change.</summary>
internal sealed class Source : DbCommandInterceptor, IDbConnectionInterceptor
{
    private int _reads;
    private Held? _held;
    private bool _changesAreLost;

    public int Reads => Volatile.Read(ref _reads);

    /// <summary>The next one who has read something waits before going on.</summary>
    public Held HoldNextRead() => _held = new Held();

    /// <summary>Each change is done from now on, and its answer never comes.</summary>
    public void LoseChanges() => _changesAreLost = true;

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
        else if (_changesAreLost)
        {
            throw new IOException("the answer to the change was lost");
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

    internal sealed class Held
    {
        public TaskCompletionSource Reached { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public TaskCompletionSource Released { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
