using System.Data;
using System.Data.Common;
using System.Globalization;
using Genfence.Native;

namespace Genfence;

/// <summary>One transaction of a database under a fence, from BEGIN until the cache was told.</summary>
internal static class DatabaseTransaction
{
    // The server notices a connection that was closed, and rolls back by itself.
    private static readonly TimeSpan s_rollback = TimeSpan.FromSeconds(5);

    /// <summary>How long at most until it is looked at again what is left.</summary>
    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(500);

    public static async ValueTask<T> RunAsync<T>(
        DbConnection connection,
        IsolationLevel isolation,
        TransactionFence fence,
        Func<DbTransaction, TransactionFence, CancellationToken, ValueTask<T>> change,
        CancellationToken cancellation)
    {
        T result;
        var isSent = false;
        using var bound = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        await using var watch = Watch(fence, bound).ConfigureAwait(false);
        try
        {
            var transaction = await connection.BeginTransactionAsync(isolation, bound.Token).ConfigureAwait(false);
            await using var disposed = transaction.ConfigureAwait(false);
            try
            {
                result = await change(transaction, fence, bound.Token).ConfigureAwait(false);
                if (IsEnded(transaction))
                {
                    throw new InvalidOperationException(
                        "change: the closure has ended the transaction: it must return, and the transaction is committed, or throw, and it is rolled back");
                }
                await fence.CommittingAsync(bound.Token).ConfigureAwait(false);
                await BoundCommitAsync(transaction, fence, bound.Token).ConfigureAwait(false);
                bound.Token.ThrowIfCancellationRequested();
            }
            catch
            {
                if (IsEnded(transaction))
                {
                    // The closure has perhaps committed it, without the reservations: what the cache has is not to be served any more.
                    await fence.ChangedAsync().ConfigureAwait(false);
                }
                await RollBackAsync(transaction).ConfigureAwait(false);
                throw;
            }
            using var commit = new CancellationTokenSource();
            await using var watched = Watch(fence, commit).ConfigureAwait(false);
            isSent = true;
            await transaction.CommitAsync(commit.Token).ConfigureAwait(false);
        }
        catch (Exception problem)
        {
            if (isSent)
            {
                await fence.FailedAsync(problem).ConfigureAwait(false);
                throw;
            }
            var isLate = fence.Remaining == TimeSpan.Zero;
            if (!fence.IsOver)
            {
                await fence.RolledBackAsync().ConfigureAwait(false);
            }
            if (isLate && problem is OperationCanceledException && !cancellation.IsCancellationRequested)
            {
                throw new GenfenceTransactionTimeoutException(problem);
            }
            throw;
        }
        _ = await fence.CommittedAsync().ConfigureAwait(false);
        return result;
    }

    /// <summary>
    /// COMMIT may be sent, and is done in time or not at all, where the server has such bounds: so of one that comes too late, as this process was paused or the network
    /// has kept it. It also fails where a statement of the transaction has failed: such a COMMIT rolls back, and is no error.
    /// </summary>
    public static async ValueTask BoundCommitAsync(DbTransaction transaction, TransactionFence fence, CancellationToken cancellation)
    {
        if (fence.Count == 0 || !IsOfNpgsql(transaction))
        {
            return;
        }
        // From when the server has heard of it COMMIT may come within a third of the time, and take another one.
        var time = fence.Remaining / 3;
        await SendAsync(
            transaction,
            $"SELECT set_config(name, '{Milliseconds(time)}', true) FROM pg_settings "
            + "WHERE name IN ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout') "
            // Those that are shorter already stay. In whatever order it looks at these: not all settings are numbers.
            + $"AND CASE vartype WHEN 'integer' THEN setting::bigint NOT BETWEEN 1 AND {Milliseconds(time)} ELSE false END",
            cancellation).ConfigureAwait(false);
        if (fence.Remaining < time * 2)
        {
            throw new GenfenceTransactionTimeoutException();
        }
    }

    /// <summary>
    /// Cancelled when nothing is left of the reservations. On a cluster what is left goes on being prolonged, and more keys may be reserved on the way, so it
    /// is asked again.
    /// </summary>
    private static Timer Watch(TransactionFence fence, CancellationTokenSource source)
    {
        Timer? watch = null;
        watch = new Timer(_ =>
        {
            var remaining = fence.Remaining;
            if (remaining == TimeSpan.Zero)
            {
                source.Cancel();
                return;
            }
            // Nobody sees it before it is set, as it is not started yet.
            watch!.Change(remaining < s_look ? remaining : s_look, Timeout.InfiniteTimeSpan);
        });
        watch.Change(TimeSpan.Zero, Timeout.InfiniteTimeSpan);
        return watch;
    }

    /// <summary>What there is in all providers to see it by: some have no connection any more, others throw.</summary>
    private static bool IsEnded(DbTransaction transaction)
    {
        try
        {
            _ = transaction.IsolationLevel;
            return transaction.Connection is null;
        }
        catch (InvalidOperationException)
        {
            return true;
        }
    }

    private static bool IsOfNpgsql(DbTransaction transaction) =>
        transaction.Connection is { } connection && connection.GetType().FullName == "Npgsql.NpgsqlConnection";

    // Of 0 PostgreSQL understands that there is no bound.
    private static string Milliseconds(TimeSpan time) => Math.Max(1, (long)time.TotalMilliseconds).ToString(CultureInfo.InvariantCulture);

    private static async ValueTask SendAsync(DbTransaction transaction, string text, CancellationToken cancellation)
    {
        var command = transaction.Connection!.CreateCommand();
        await using var disposed = command.ConfigureAwait(false);
        command.Transaction = transaction;
#pragma warning disable CA2100 // All that goes into it is a number.
        command.CommandText = text;
#pragma warning restore CA2100
        _ = Blocking.IsHere ? command.ExecuteNonQuery() : await command.ExecuteNonQueryAsync(cancellation).ConfigureAwait(false);
    }

    /// <summary>As good as it can be: where its answer does not come either, the connection is closed, and the server rolls back.</summary>
    private static async ValueTask RollBackAsync(DbTransaction transaction)
    {
        using var bound = new CancellationTokenSource(s_rollback);
        try
        {
            await transaction.RollbackAsync(bound.Token).ConfigureAwait(false);
        }
        catch (Exception problem) when (problem is DbException or InvalidOperationException or OperationCanceledException or IOException)
        {
            // What led to it is thrown.
        }
    }
}
