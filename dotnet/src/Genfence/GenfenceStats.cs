using Genfence.Native;

namespace Genfence;

/// <summary>What a cache has done since it was opened: counts.</summary>
/// <param name="Hits">Reads that found a value.</param>
/// <param name="Misses">Reads that found none.</param>
/// <param name="Shared">Misses that took the value from another caller's fill in this process.</param>
/// <param name="Leases">Leases that were granted.</param>
/// <param name="Extensions">Leases that were prolonged for their holder.</param>
/// <param name="LeasesReturned">Leases that were given back unused.</param>
/// <param name="Bypasses">Lookups that ended in a bypass.</param>
/// <param name="FillsStored">Fills that stored.</param>
/// <param name="FillsRejected">Fills that lost a race and stored nothing.</param>
/// <param name="Oversized">Loaded values that were too large to store.</param>
/// <param name="Reservations">Reservations that were taken.</param>
/// <param name="ReservationsLeft">Reservations that were left to expire.</param>
/// <param name="CommitsStored">Commits that stored.</param>
/// <param name="Purges">Commits that could not store, and releases: they left their key empty.</param>
/// <param name="InDoubt">Changes that nobody answered.</param>
/// <param name="Failures">Commands that failed after all tries.</param>
public readonly record struct GenfenceStats(
    long Hits,
    long Misses,
    long Shared,
    long Leases,
    long Extensions,
    long LeasesReturned,
    long Bypasses,
    long FillsStored,
    long FillsRejected,
    long Oversized,
    long Reservations,
    long ReservationsLeft,
    long CommitsStored,
    long Purges,
    long InDoubt,
    long Failures)
{
    internal static GenfenceStats Of(in NativeStats stats) => new(
        (long)stats.Hits,
        (long)stats.Misses,
        (long)stats.Shared,
        (long)stats.Leases,
        (long)stats.Extensions,
        (long)stats.LeasesReturned,
        (long)stats.Bypasses,
        (long)stats.FillsStored,
        (long)stats.FillsRejected,
        (long)stats.Oversized,
        (long)stats.Reservations,
        (long)stats.ReservationsLeft,
        (long)stats.CommitsStored,
        (long)stats.Purges,
        (long)stats.InDoubt,
        (long)stats.Failures);
}
