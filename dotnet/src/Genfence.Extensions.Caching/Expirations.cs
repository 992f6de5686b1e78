namespace Genfence.Extensions.Caching;

/// <summary>What both doors make of a time to live.</summary>
internal static class Expirations
{
    /// <summary>The longest there is: what is to live longer may go earlier, as from any cache.</summary>
    private static readonly TimeSpan s_longest = TimeSpan.FromDays(3650);

    public static TimeSpan? Capped(TimeSpan? expiration) => expiration > s_longest ? s_longest : expiration;
}
