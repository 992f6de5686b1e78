using Genfence.Native;

namespace Genfence;

// The keys of one transaction.
public sealed partial class GenfenceCache
{
    /// <summary>
    /// Reserves all keys of a transaction, before their source is changed: all are sent together. A key that is named twice is one.
    /// </summary>
    /// <remarks>
    /// A reservation must be there before COMMIT is <em>sent</em>. Who only releases reserves in the last moment before that, most simply by
    /// <see cref="Reservations.AddAsync(IEnumerable{CacheKey}, CancellationToken)"/> to <see cref="NoReservations"/>: a transaction that is rolled back has not
    /// touched the cache then, and readers keep their hits until the end. Who commits a value must have reserved before it <em>read</em> anything
    /// that the value is made of and that it had not locked by then; else two writers of different rows of one value would each store it without
    /// the other's change.
    /// </remarks>
    /// <param name="keys">1 to 10,000 keys.</param>
    /// <param name="cancellationToken">Ends the wait; what is reserved later is aborted.</param>
    /// <returns>The reservations. The change must be over within <see cref="Reservations.Remaining"/>.</returns>
    /// <exception cref="GenfenceInvalidException">A key, or their number, is out of bounds: nothing was sent.</exception>
    /// <exception cref="GenfenceStoreException">
    /// One could not be reserved, which is named: those that were are aborted, nothing is held, and the source must not be changed.
    /// </exception>
    public ValueTask<Reservations> ReserveManyAsync(IEnumerable<CacheKey> keys, CancellationToken cancellationToken = default) =>
        ReserveEachAsync(keys, areSettled: false, cancellationToken);

    /// <summary>
    /// None yet: for a transaction whose keys are only known on the way, and are added before COMMIT is sent.
    /// </summary>
    /// <returns>No reservations.</returns>
    public Reservations NoReservations() => new(this, areSettled: false);

    internal ReservationHandle NewReservation() => Connection.NewReservation(new Request(Op.ReserveMany) { Tags = _tags, Near = _near });

    /// <summary>
    /// Changes the source of several keys under reservations of all, as <c>UpdateAsync</c> does of one key. Before the closure runs no copy of any of the
    /// values is served any more. It may add keys.
    /// </summary>
    /// <param name="keys">1 to 10,000 keys.</param>
    /// <param name="change">
    /// Changes the source, within <see cref="Reservations.Remaining"/>, and says what became of it. An exception, also one of cancellation, says nothing
    /// about the source: then all are left to expire. Where it is certain that nothing was changed, return <see cref="SourceResults.RolledBack"/>.
    /// </param>
    /// <param name="cancellationToken">
    /// Ends the wait for the reservations, and goes to the closure. What comes after the closure is not cancelled.
    /// </param>
    /// <returns>What became of each key, in the order in which they were reserved.</returns>
    /// <exception cref="GenfenceInvalidException">
    /// A key, or their number, is out of bounds: the closure did not run. Or something in its results is: see <see cref="Reservations.CommitAsync"/>.
    /// </exception>
    /// <exception cref="GenfenceStoreException">A key could not be reserved: the closure did not run.</exception>
    public async ValueTask<IReadOnlyList<KeyValuePair<CacheKey, UpdateOutcome>>> UpdateManyAsync(
        IEnumerable<CacheKey> keys,
        Func<Reservations, CancellationToken, ValueTask<SourceResults>> change,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(change);
        using var activity = Telemetry.Activities.StartActivity("genfence.update_many");
        using var underWay = Connection.BeginUpdate();
        using var reservations = await ReserveEachAsync(keys, areSettled: true, cancellationToken).ConfigureAwait(false);
        if (cancellationToken.IsCancellationRequested)
        {
            await reservations.AbortAsync(CancellationToken.None).ConfigureAwait(false);
            cancellationToken.ThrowIfCancellationRequested();
        }
        var results = await change(reservations, cancellationToken).ConfigureAwait(false)
            ?? throw new GenfenceInvalidException(
                "change", "change: the closure must return one of SourceResults'; the reservations are left to expire");
        return await reservations.CommitAsync(results).ConfigureAwait(false);
    }

    private async ValueTask<Reservations> ReserveEachAsync(
        IEnumerable<CacheKey> keys, bool areSettled, CancellationToken cancellation)
    {
        var reservations = new Reservations(this, areSettled);
        try
        {
            await reservations.AddAsync(keys, cancellation).ConfigureAwait(false);
        }
        catch
        {
            // Also what is reserved later, as nobody waited for it.
            reservations.GiveBack();
            throw;
        }
        return reservations.Count > 0
            ? reservations
            : throw new GenfenceInvalidException("keys", $"keys: 0 keys, must be 1 to {Reservations.Most}");
    }
}
