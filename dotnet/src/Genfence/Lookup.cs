using System.Runtime.CompilerServices;
using Genfence.Native;

namespace Genfence;

/// <summary>A value of the cache.</summary>
/// <param name="Value">The bytes; <see langword="null"/> where the source is known to have nothing.</param>
/// <param name="Version">Its version from the source, where it has one.</param>
/// <param name="Stamp">Names this stored value, for <see cref="GenfenceCache.ReplaceAsync(CacheKey, ulong, byte[], TimeSpan?, CancellationToken)"/>.</param>
public readonly record struct CachedValue(byte[]? Value, long? Version, ulong Stamp)
{
    internal static CachedValue Of(in NativeResult result) => new(
        (result.Flags & Flags.Nothing) != 0 ? null : result.ValueSpan().ToArray(),
        (result.Flags & Flags.Version) != 0 ? (long)result.Version : null,
        result.Stamp);
}

/// <summary>What a lookup found: a hit, a lease, or a bypass.</summary>
public readonly struct LookupResult
{
    internal LookupResult(CachedValue hit)
    {
        Kind = LookupKind.Hit;
        Hit = hit;
    }

    internal LookupResult(Lease lease)
    {
        Kind = LookupKind.Leased;
        Lease = lease;
    }

    internal LookupResult(BypassReason bypass) => Bypass = bypass;

    /// <summary>Which of the three.</summary>
    public LookupKind Kind { get; }

    /// <summary>The value, of <see cref="LookupKind.Hit"/>.</summary>
    public CachedValue Hit { get; }

    /// <summary>The permission to fill, of <see cref="LookupKind.Leased"/>. Dispose it.</summary>
    public Lease? Lease { get; }

    /// <summary>Why, of <see cref="LookupKind.Bypass"/>.</summary>
    public BypassReason Bypass { get; }
}

/// <summary>
/// The permission to fill one key: read the source now, then fill. It is extended while it is held.
/// Disposing it unused gives it back, so that another caller may fill. One caller at a time.
/// </summary>
public sealed class Lease : IDisposable
{
    // Also keeps the cache from being finalised.
    private readonly GenfenceCache _cache;
    private readonly LeaseHandle _handle;

    internal Lease(GenfenceCache cache, nint handle)
    {
        _cache = cache;
        _handle = new LeaseHandle(handle);
    }

    internal LeaseHandle Handle => _handle;

    /// <summary>Why the fill was rejected, after <see cref="FillOutcome.Rejected"/>.</summary>
    public FillRefusal Refusal { get; private set; }

    /// <summary>Whether another caller of this process waits for what is loaded under it.</summary>
    internal bool IsAwaited => Methods.gf_lease_is_awaited(_handle) != 0;

    /// <summary>
    /// Fills the key with what the source was read to have after the lease came; uses the lease up.
    /// </summary>
    /// <param name="value">The value; <see langword="null"/> says that the source has nothing.</param>
    /// <param name="version">Its version, where the source has versions.</param>
    /// <param name="timeToLive">How long to keep it, rounded up to whole seconds; else the cache's own time.</param>
    /// <param name="cancellationToken">Ends the wait, not the fill.</param>
    /// <returns>What became of it.</returns>
    /// <exception cref="GenfenceInvalidException">
    /// The lease was used already, or the version or the time is out of bounds.
    /// </exception>
    public async ValueTask<FillOutcome> FillAsync(
        ReadOnlyMemory<byte>? value,
        long? version = null,
        TimeSpan? timeToLive = null,
        CancellationToken cancellationToken = default)
    {
        var request = new Request(Op.Fill) { Lease = _handle }.With(value, version, timeToLive);
        var filled = await _cache.Connection.Submit(request, cancellationToken).ConfigureAwait(false);
        var outcome = Results.Outcome<FillOutcome>(filled.StatusAndFree());
        Refusal = outcome == FillOutcome.Rejected ? Results.Detail<FillRefusal>(filled) : FillRefusal.None;
        return outcome;
    }

    /// <inheritdoc cref="FillAsync(ReadOnlyMemory{byte}?, long?, TimeSpan?, CancellationToken)"/>
    [OverloadResolutionPriority(1)] // A null array would else become empty bytes on its way.
    public ValueTask<FillOutcome> FillAsync(
        byte[]? value,
        long? version = null,
        TimeSpan? timeToLive = null,
        CancellationToken cancellationToken = default) =>
        FillAsync(value.OrNothing(), version, timeToLive, cancellationToken);

    /// <inheritdoc/>
    public void Dispose() => _handle.Dispose();
}
