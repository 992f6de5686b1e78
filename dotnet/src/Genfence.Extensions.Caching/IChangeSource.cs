namespace Genfence.Extensions.Caching;

/// <summary>
/// The source's stream of changes, for <see cref="GenfenceCache.FollowAsync"/> in a host: an outbox table, a replication slot, a topic.
/// </summary>
public interface IChangeSource
{
    /// <summary>
    /// The stream from where it was last confirmed, in the order of its commits. Asked for anew after it ended or failed.
    /// </summary>
    /// <param name="cancellationToken">The host stops.</param>
    /// <returns>The stream.</returns>
    IAsyncEnumerable<ChangeBatch> ReadAsync(CancellationToken cancellationToken);

    /// <summary>
    /// Commits a row with this heartbeat, where the stream tells of it. Needed where the cache has the option
    /// <see cref="GenfenceSettings.StreamBound"/>; by default nothing is written.
    /// </summary>
    /// <param name="heartbeat">Its two numbers are all that is written.</param>
    /// <param name="cancellationToken">The host stops.</param>
    /// <returns>When it is committed.</returns>
    ValueTask WriteHeartbeatAsync(Heartbeat heartbeat, CancellationToken cancellationToken) => default;
}
