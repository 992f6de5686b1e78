using System.Data;
using System.Data.Common;

namespace Genfence;

// Transactions of ADO.NET.
public sealed partial class GenfenceCache
{
    /// <summary>
    /// For a door to a library of your own that has transactions: see <see cref="TransactionFence"/>. <c>TransactionAsync</c> is the one to use first.
    /// </summary>
    /// <returns>One without keys. Dispose it.</returns>
    public TransactionFence NewTransactionFence() => new(this);

    /// <summary>
    /// Changes the source in one transaction, and fences the keys that it changes: begins, runs the closure, reserves the keys, commits, and tells the cache what
    /// became of it. Any provider of ADO.NET, and Dapper on it.
    /// </summary>
    /// <remarks>
    /// <para>
    /// The keys are reserved in the last moment before COMMIT, so that readers keep their hits until then; or before BEGIN, where
    /// <paramref name="isReservedEarly"/> says so, for a value that the closure makes of what it reads (<see cref="TransactionFence.Set"/>), and where copies are kept
    /// (<see cref="GenfenceSettings.Near"/>), as their wait then holds no locks.
    /// </para>
    /// <para>
    /// From when keys are reserved all is bounded by <see cref="TransactionFence.Remaining"/>: the token is cancelled then. With Npgsql the server bounds COMMIT, too
    /// (<c>statement_timeout</c>, <c>lock_timeout</c>, <c>idle_in_transaction_session_timeout</c> of this transaction, if they were not shorter), so that one that this process
    /// sends too late, as it was paused, is not done. Elsewhere set such time-outs below <see cref="GenfenceSettings.ReservationTime"/> yourself where there are any.
    /// </para>
    /// </remarks>
    /// <typeparam name="T">What the closure returns.</typeparam>
    /// <param name="connection">A connection that has no transaction; one that is closed is opened, and closed afterwards.</param>
    /// <param name="keys">The keys that are changed as far as they are known; the closure may add more. None of them is fine, too.</param>
    /// <param name="change">
    /// Changes the source by this transaction, adds keys and sets values. It must not end the transaction: an exception rolls it back, and so does
    /// <see cref="OperationCanceledException"/>; else it is committed. It must send nothing that commits by itself, as some statements do on some databases.
    /// </param>
    /// <param name="isolation">As for <see cref="DbConnection.BeginTransactionAsync(IsolationLevel, CancellationToken)"/>.</param>
    /// <param name="isReservedEarly">Whether <paramref name="keys"/> are reserved before BEGIN; else as the remarks say.</param>
    /// <param name="cancellationToken">Rolls it back as long as COMMIT was not sent; it does not cancel COMMIT.</param>
    /// <returns>What the closure returned, once it is committed and the cache was told.</returns>
    /// <exception cref="GenfenceInvalidException">A key, or their number, is out of bounds: nothing was committed.</exception>
    /// <exception cref="GenfenceStoreException">One could not be reserved, which is named: nothing was committed.</exception>
    /// <exception cref="GenfenceTransactionTimeoutException">It took longer than its reservations last: nothing was committed.</exception>
    /// <exception cref="DbException">
    /// What the database throws. Of COMMIT it says that it is not known whether it was done, but for what a database answers for certain; the keys are bypassed
    /// until the reservations expire then.
    /// </exception>
    public async ValueTask<T> TransactionAsync<T>(
        DbConnection connection,
        IEnumerable<CacheKey> keys,
        Func<DbTransaction, TransactionFence, CancellationToken, ValueTask<T>> change,
        IsolationLevel isolation = IsolationLevel.Unspecified,
        bool? isReservedEarly = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(connection);
        ArgumentNullException.ThrowIfNull(change);
        using var activity = Telemetry.Activities.StartActivity("genfence.transaction");
        using var underWay = Connection.BeginUpdate();
        using var fence = NewTransactionFence();
        fence.Add(keys);
        var isClosed = connection.State == ConnectionState.Closed;
        if (isClosed)
        {
            await connection.OpenAsync(cancellationToken).ConfigureAwait(false);
        }
        try
        {
            if (isReservedEarly ?? Connection.KeepsCopies)
            {
                await fence.ReserveAsync(cancellationToken).ConfigureAwait(false);
            }
            return await DatabaseTransaction.RunAsync(connection, isolation, fence, change, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            if (isClosed)
            {
                await connection.CloseAsync().ConfigureAwait(false);
            }
        }
    }

    /// <inheritdoc cref="TransactionAsync{T}"/>
    public async ValueTask TransactionAsync(
        DbConnection connection,
        IEnumerable<CacheKey> keys,
        Func<DbTransaction, TransactionFence, CancellationToken, ValueTask> change,
        IsolationLevel isolation = IsolationLevel.Unspecified,
        bool? isReservedEarly = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(change);
        _ = await TransactionAsync(
            connection,
            keys,
            async (transaction, fence, cancellation) =>
            {
                await change(transaction, fence, cancellation).ConfigureAwait(false);
                return true;
            },
            isolation,
            isReservedEarly,
            cancellationToken).ConfigureAwait(false);
    }
}
