using System.Runtime.CompilerServices;
using System.Text;
using Genfence.Native;
using Microsoft.Extensions.Logging;

namespace Genfence;

/// <summary>
/// A writer's claim on one key: until it is committed, released or aborted no reader is served a cached
/// value. Disposing it unused leaves it to expire, as only the caller knows what became of the source;
/// the key is bypassed until then. One caller at a time, but for <see cref="Remaining"/>.
/// </summary>
public sealed partial class Reservation : IDisposable
{
    // Also keeps the cache from being finalised.
    private readonly GenfenceCache _cache;
    private readonly ReservationHandle _handle;

    internal Reservation(GenfenceCache cache, nint handle, bool isHeld)
    {
        _cache = cache;
        _handle = new ReservationHandle(handle);
        IsHeld = isHeld;
        Regions = ReadRegions(_handle);
    }

    /// <summary>
    /// Whether the key is held. Not so only where the store gave no answer and the option
    /// <see cref="GenfenceSettings.UnreachableReserve"/> says to proceed: the change is outside the guarantee then.
    /// </summary>
    public bool IsHeld { get; }

    /// <summary>
    /// How it stands in each region that it is to be held in: the own one first, or the home that the key is read at; empty where the option
    /// <see cref="GenfenceSettings.Fence"/> is <see cref="Fence.Own"/>.
    /// </summary>
    public IReadOnlyList<FencedRegion> Regions { get; }

    /// <summary>
    /// The time left to change the source: the transaction must be over by then, so bound it. On a cluster it is no
    /// more than what is left of the lease on it (<see cref="GenfenceSettings.ClusterGuardTime"/>), which goes on being
    /// prolonged: ask again just before COMMIT is sent. Zero if it is too late. Where it is held in several regions, it is
    /// the least of theirs.
    /// </summary>
    public TimeSpan Remaining => TimeSpan.FromMilliseconds(_handle.Ask(Methods.gf_remaining_ms));

    /// <summary>
    /// How long copies of the value may still be served, by this process or another, in any region
    /// (<see cref="GenfenceSettings.Near"/>): COMMIT must not be sent before. Zero where none are kept.
    /// </summary>
    public TimeSpan Unsettled => TimeSpan.FromMilliseconds(_handle.Ask(Methods.gf_unsettled_ms));

    /// <summary>
    /// Waits until no copy of the value is served any more, at most for <see cref="GenfenceSettings.NearMax"/>. To be called before COMMIT is
    /// <em>sent</em>; what comes before it in the transaction need not wait. It is part of the time that <see cref="Remaining"/>
    /// counts. <c>UpdateAsync</c> waits by itself.
    /// </summary>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>When it is over.</returns>
    /// <exception cref="GenfenceInvalidException">The reservation was used already.</exception>
    public async ValueTask SettledAsync(CancellationToken cancellationToken = default)
    {
        ThrowIfDisposed();
        // Most often nothing is to be waited for.
        if (Unsettled == TimeSpan.Zero)
        {
            return;
        }
        var request = new Request(Op.Settled) { Reservation = _handle };
        (await _cache.Connection.StatusAsync(request, cancellationToken).ConfigureAwait(false)).MustBe(Status.Done);
    }

    /// <summary>
    /// The source was changed and committed, and the key now has this value. With a version the source's
    /// own order decides among crossing writers. Uses the reservation up.
    /// </summary>
    /// <param name="value">The value; <see langword="null"/> says that the source has nothing now.</param>
    /// <param name="version">The version that the source gave the change, where it has versions.</param>
    /// <param name="timeToLive">How long to keep it, rounded up to whole seconds; else the cache's own time.</param>
    /// <param name="cancellationToken">Ends the wait, not the commit.</param>
    /// <returns>What became of it.</returns>
    /// <exception cref="GenfenceInvalidException">
    /// The reservation was used already; or the version or the time is out of bounds: where only the cache can tell, the
    /// key was released.
    /// </exception>
    public async ValueTask<CommitOutcome> CommitAsync(
        ReadOnlyMemory<byte>? value,
        long? version = null,
        TimeSpan? timeToLive = null,
        CancellationToken cancellationToken = default)
    {
        var request = new Request(Op.Commit) { Reservation = _handle }.With(value, version, timeToLive);
        return Results.Outcome<CommitOutcome>(await UseAsync(request, cancellationToken).ConfigureAwait(false));
    }

    /// <inheritdoc cref="CommitAsync(ReadOnlyMemory{byte}?, long?, TimeSpan?, CancellationToken)"/>
    [OverloadResolutionPriority(1)] // A null array would else become empty bytes on its way.
    public ValueTask<CommitOutcome> CommitAsync(
        byte[]? value,
        long? version = null,
        TimeSpan? timeToLive = null,
        CancellationToken cancellationToken = default) =>
        CommitAsync(value.OrNothing(), version, timeToLive, cancellationToken);

    /// <summary>
    /// The source was changed and committed, and the value is not at hand. Uses the reservation up.
    /// </summary>
    /// <param name="version">The version that the source gave the change, where it has versions.</param>
    /// <param name="cancellationToken">Ends the wait, not the release.</param>
    /// <returns>What became of it.</returns>
    /// <exception cref="GenfenceInvalidException">The reservation was used already.</exception>
    public async ValueTask<ReleaseOutcome> ReleaseAsync(
        long? version = null, CancellationToken cancellationToken = default)
    {
        var request = new Request(Op.Release) { Reservation = _handle }.With(version);
        return Results.Outcome<ReleaseOutcome>(await UseAsync(request, cancellationToken).ConfigureAwait(false));
    }

    /// <summary>
    /// The source was certainly not changed, and will not be. Where you do not know what became of a
    /// COMMIT, dispose the reservation instead, and it expires. Uses the reservation up.
    /// </summary>
    /// <param name="cancellationToken">Ends the wait, not the abort.</param>
    /// <returns>When it is done.</returns>
    /// <exception cref="GenfenceInvalidException">The reservation was used already.</exception>
    public async ValueTask AbortAsync(CancellationToken cancellationToken = default) =>
        (await UseAsync(new Request(Op.Abort) { Reservation = _handle }, cancellationToken).ConfigureAwait(false)).MustBe(Status.Done);

    /// <summary>More time for the reservation.</summary>
    /// <param name="cancellationToken">Ends the wait, not the renewal.</param>
    /// <returns>
    /// Whether there is; if not, it came too late: roll back, or release after the change.
    /// </returns>
    /// <exception cref="GenfenceInvalidException">The reservation was used already.</exception>
    /// <exception cref="GenfenceStoreException">The store did not answer; the old time counts.</exception>
    public async ValueTask<bool> RenewAsync(CancellationToken cancellationToken = default)
    {
        ThrowIfDisposed();
        var request = new Request(Op.Renew) { Reservation = _handle };
        return await _cache.Connection.StatusAsync(request, cancellationToken).ConfigureAwait(false) switch
        {
            Status.Done => true,
            Status.Lost => false,
            var other => throw Results.Unknown(other),
        };
    }

    /// <summary>Leaves it to expire, if it was not used; that is logged.</summary>
    public void Dispose()
    {
        if (_handle.IsClosed)
        {
            return;
        }
        var isLeft = IsHeld && _handle.IsUnused;
        _handle.Dispose();
        if (isLeft)
        {
            LeftToExpire(_cache.Logger);
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<int> UseAsync(Request request, CancellationToken cancellation)
    {
        ThrowIfDisposed();
        cancellation.ThrowIfCancellationRequested();
        return await _cache.Connection.StatusAsync(request, cancellation).ConfigureAwait(false);
    }

    private static unsafe FencedRegion[] ReadRegions(ReservationHandle handle)
    {
        NativeSlice name;
        // Most have none, and then nothing is allocated.
        var status = Methods.gf_reservation_region(handle, 0, &name);
        if (status == 0)
        {
            return [];
        }
        var regions = new List<FencedRegion>();
        for (nuint index = 1; status != 0; index++)
        {
            regions.Add(new FencedRegion(
                Encoding.UTF8.GetString(new ReadOnlySpan<byte>(name.Data, checked((int)name.Length))), (RegionOutcome)status));
            status = Methods.gf_reservation_region(handle, index, &name);
        }
        return [.. regions];
    }

    private void ThrowIfDisposed() => ObjectDisposedException.ThrowIf(_handle.IsClosed, this);

    internal const string Left = "a reservation was left to expire; commit, release or abort it to free its key";

    [LoggerMessage(1, LogLevel.Warning, Left)]
    private static partial void LeftToExpire(ILogger logger);
}
