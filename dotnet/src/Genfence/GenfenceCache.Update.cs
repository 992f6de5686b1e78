using System.Runtime.ExceptionServices;
using Genfence.Native;

namespace Genfence;

public sealed partial class GenfenceCache
{
    /// <summary>
    /// Reserves a key, before its source is changed. From now until the commit, the release or the abort no reader
    /// is served a cached value. <c>UpdateAsync</c> does all of this, and is the one to use first.
    /// </summary>
    /// <param name="key">The key.</param>
    /// <param name="cancellationToken">Ends the wait; a reservation that comes later is aborted.</param>
    /// <returns>The reservation. The change must be over within <see cref="Reservation.Remaining"/>.</returns>
    public ValueTask<Reservation> ReserveAsync(CacheKey key, CancellationToken cancellationToken = default) =>
        ClaimAsync(new Request(Op.Reserve) { Key = key, Tags = _tags, Near = _near }, cancellationToken);

    /// <summary>
    /// As <see cref="ReserveAsync"/>, once no copies of the value are served any more (<see cref="GenfenceSettings.Near"/>), for which it
    /// waits at most for <see cref="GenfenceSettings.NearMax"/>: until then the value is served, so that only the change itself is a time
    /// in which the source alone is read. <see cref="Reservation.SettledAsync"/> need not be called after it. Who has something to do
    /// meanwhile reserves at once, and calls that before COMMIT.
    /// </summary>
    /// <param name="key">The key.</param>
    /// <param name="cancellationToken">Ends the wait; a reservation that comes later is aborted.</param>
    /// <returns>The reservation. The change must be over within <see cref="Reservation.Remaining"/>.</returns>
    public ValueTask<Reservation> ReserveSettledAsync(CacheKey key, CancellationToken cancellationToken = default) =>
        ClaimAsync(new Request(Op.Reserve) { Key = key, Tags = _tags, Near = _near, Flags = Flags.Settled }, cancellationToken);

    private async ValueTask<Reservation> ClaimAsync(Request reserve, CancellationToken cancellation)
    {
        return Reserved(await Connection.Submit(reserve, cancellation).ConfigureAwait(false));
    }

    private Reservation Reserved(NativeResult result)
    {
        try
        {
            result.ThrowIfFailed();
            return result.Status == Status.Reserved
                ? new Reservation(this, result.TakeReservation(), isHeld: result.Detail == 0)
                : throw Results.Unknown(result.Status);
        }
        finally
        {
            result.Free();
        }
    }

    /// <summary>
    /// Changes the source of a key under a reservation. The closure changes the source, within
    /// <see cref="Reservation.Remaining"/>, and says what became of it. Before it runs no copy of the value is served any more
    /// (<see cref="Reservation.SettledAsync"/>).
    /// </summary>
    /// <typeparam name="T">The value's type.</typeparam>
    /// <param name="key">The key.</param>
    /// <param name="change">
    /// Changes the source. An exception, also one of cancellation, says nothing about the source (a COMMIT whose
    /// answer never came may still land): then the reservation is left to expire, and the key is bypassed until it
    /// has. Where it is certain that nothing was changed, return <see cref="SourceResult.RolledBack"/>.
    /// </param>
    /// <param name="serializer">Else bytes and text as they are, and JSON.</param>
    /// <param name="cancellationToken">
    /// Ends the wait for the reservation, and goes to the closure. What comes after the closure is not cancelled.
    /// </param>
    /// <returns>What became of the update.</returns>
    /// <exception cref="GenfenceInvalidException">
    /// The key is out of bounds: the closure did not run. Or the version or the time to live that it returned is:
    /// the source was changed, and the key is released. What the serializer throws for a value that it cannot write is
    /// thrown on; the key is released then, too.
    /// </exception>
    /// <exception cref="GenfenceStoreException">The key could not be reserved: the closure did not run.</exception>
    public ValueTask<UpdateOutcome> UpdateAsync<T>(
        CacheKey key,
        Func<Reservation, CancellationToken, ValueTask<SourceResult<T>>> change,
        IGenfenceSerializer<T>? serializer = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(change);
        var reserve = new Request(Op.Reserve) { Key = key, Tags = _tags, Near = _near };
        return ChangeAsync(reserve, change, serializer ?? Serializer<T>(), cancellationToken);
    }

    private async ValueTask<UpdateOutcome> ChangeAsync<T>(
        Request reserve,
        Func<Reservation, CancellationToken, ValueTask<SourceResult<T>>> change,
        IGenfenceSerializer<T> serializer,
        CancellationToken cancellation)
    {
        using var activity = Telemetry.Activities.StartActivity("genfence.update");
        using var underWay = Connection.BeginUpdate();
        using var reservation = await ClaimAsync(reserve with { Flags = Flags.Settled }, cancellation).ConfigureAwait(false);
        if (cancellation.IsCancellationRequested)
        {
            await reservation.AbortAsync(CancellationToken.None).ConfigureAwait(false);
            cancellation.ThrowIfCancellationRequested();
        }
        var source = await change(reservation, cancellation).ConfigureAwait(false);
        var outcome = await ToldAsync(reservation, source, serializer).ConfigureAwait(false);
        activity?.SetTag("genfence.outcome", outcome.ToString());
        return outcome;
    }

    /// <summary>Changes the source of a key where the new value is not at hand, or the source has nothing then.</summary>
    /// <inheritdoc cref="UpdateAsync{T}"/>
    public ValueTask<UpdateOutcome> UpdateAsync(
        CacheKey key,
        Func<Reservation, CancellationToken, ValueTask<SourceResult>> change,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(change);
        return ChangeAsync(new Request(Op.Reserve) { Key = key, Tags = _tags, Near = _near }, change, cancellationToken);
    }

    private ValueTask<UpdateOutcome> ChangeAsync(
        Request reserve, Func<Reservation, CancellationToken, ValueTask<SourceResult>> change, CancellationToken cancellation) =>
        ChangeAsync<byte[]>(
            reserve,
            async (reservation, cancellation) => await change(reservation, cancellation).ConfigureAwait(false),
            GenfenceSerializer.Bytes,
            cancellation);

    /// <summary>Uses a reservation up, as what became of the source asks for.</summary>
    internal static async ValueTask<UpdateOutcome> ToldAsync<T>(
        Reservation reservation, SourceResult<T> source, IGenfenceSerializer<T> serializer) =>
        source.State switch
        {
            SourceState.Committed => await CommitAsync(reservation, source, serializer).ConfigureAwait(false),
            SourceState.Changed => await ReleaseAsync(reservation, source.Fresh.Version).ConfigureAwait(false),
            SourceState.RolledBack => await RollBackAsync(reservation, source.Cause).ConfigureAwait(false),
            _ => throw new GenfenceInvalidException(
                "change", "change: the closure must return one of SourceResult's; the reservation is left to expire"),
        };

    private static async ValueTask<UpdateOutcome> CommitAsync<T>(
        Reservation reservation, SourceResult<T> source, IGenfenceSerializer<T> serializer)
    {
        ReadOnlyMemory<byte>? value;
        var (_, version, timeToLive) = source.Fresh;
        try
        {
            value = source.Gone ? null : Serialize(source.Fresh.Value, serializer);
            // Says what is wrong before it uses the reservation up.
            _ = new Request(Op.Commit).With(value, version, timeToLive);
        }
        catch
        {
            // The source was changed, so the key must not wait for the reservation to expire.
            _ = await reservation.ReleaseAsync(version is >= 0 ? version : null).ConfigureAwait(false);
            throw;
        }
        return Results.Outcome<UpdateOutcome>(
            (int)await reservation.CommitAsync(value, version, timeToLive).ConfigureAwait(false));
    }

    private static async ValueTask<UpdateOutcome> ReleaseAsync(Reservation reservation, long? version)
    {
        ReleaseOutcome released;
        try
        {
            released = await reservation.ReleaseAsync(version).ConfigureAwait(false);
        }
        catch (GenfenceInvalidException problem) when (problem.Field == "version" && version < 0)
        {
            _ = await reservation.ReleaseAsync().ConfigureAwait(false);
            throw;
        }
        return Results.Outcome<UpdateOutcome>((int)released);
    }

    private static async ValueTask<UpdateOutcome> RollBackAsync(Reservation reservation, Exception? cause)
    {
        try
        {
            await reservation.AbortAsync().ConfigureAwait(false);
        }
        catch (Exception problem) when (cause is not null && problem is (GenfenceException or GenfenceShutDownException))
        {
            // The reservation expires; what the caller has to know is the cause.
        }
        if (cause is not null)
        {
            // Where it was thrown stays in it.
            ExceptionDispatchInfo.Throw(cause);
        }
        return UpdateOutcome.RolledBack;
    }
}
