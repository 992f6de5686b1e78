using System.Collections.Concurrent;
using Genfence.Native;
using Microsoft.Extensions.Logging;

namespace Genfence;

/// <summary>A change of the source, as its stream tells of it.</summary>
/// <param name="Key">The key, without the cache's prefix.</param>
/// <param name="Version">The version that the source gave the change. Needed where loaders read a replica that lags.</param>
public readonly record struct ChangedKey(string Key, long? Version = null);

/// <summary>
/// A row that a follower writes into the source, to see it come by in the stream. Its two numbers are all that is written.
/// </summary>
/// <param name="Follower">Of which follower it is; others see it, too, and let it pass.</param>
/// <param name="Number">Grows by one.</param>
public readonly record struct Heartbeat(long Follower, long Number);

/// <summary>A stretch of a stream of changes.</summary>
/// <param name="Changes">What was changed. Some of it may have been told before.</param>
/// <param name="Heartbeats">The heartbeats that stand before its end.</param>
/// <param name="Confirm">Called once all of it was applied: a follower that starts again may start after it.</param>
public sealed record ChangeBatch(
    IReadOnlyList<ChangedKey> Changes,
    IReadOnlyList<Heartbeat>? Heartbeats = null,
    Func<CancellationToken, ValueTask>? Confirm = null);

public sealed partial class GenfenceCache
{
    /// <summary>The longest pause before a cache that does not answer is told again.</summary>
    private static readonly TimeSpan s_longestPause = TimeSpan.FromSeconds(1);

    /// <summary>
    /// Follows a stream of the source's changes, and invalidates what it tells of: each key once in a batch, with the newest of its
    /// versions. So a region hears of what writers of other regions have changed, and a cache of writers who know of no cache.
    /// <para>
    /// A batch is confirmed once all of it was applied, and never before; the next is asked for after that, so a cache that is slow slows
    /// the stream. A cache that does not answer is told again until it does.
    /// </para>
    /// <para>
    /// Where the cache has the option <see cref="GenfenceSettings.StreamBound"/>, a heartbeat is written eight times in that time; when it
    /// comes by in the stream, all programs of the cache's set serve for the rest of it. One follower is enough for a set.
    /// </para>
    /// </summary>
    /// <param name="changes">The stream: an outbox table, a replication slot, a topic, in the order of its commits.</param>
    /// <param name="writeHeartbeat">
    /// Commits a row with this heartbeat, where the stream tells of it, on a connection of its own. One that fails is given up: the
    /// next comes soon.
    /// </param>
    /// <param name="cancellationToken">Ends it: what was not applied was not confirmed.</param>
    /// <returns>When the stream has ended.</returns>
    /// <exception cref="GenfenceInvalidException">The stream told of a key or a version out of bounds.</exception>
    public async Task FollowAsync(
        IAsyncEnumerable<ChangeBatch> changes,
        Func<Heartbeat, CancellationToken, ValueTask>? writeHeartbeat = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(changes);
        var follower = Random.Shared.NextInt64(1, long.MaxValue);
        var written = new ConcurrentDictionary<long, ulong>();
        using var over = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var beating = writeHeartbeat is null ? Task.CompletedTask : BeatAsync(follower, writeHeartbeat, written, over.Token);
        try
        {
            await foreach (var batch in changes.WithCancellation(cancellationToken).ConfigureAwait(false))
            {
                await ApplyAsync(batch.Changes, cancellationToken).ConfigureAwait(false);
                var own = (batch.Heartbeats ?? []).Where(beat => beat.Follower == follower).Select(beat => beat.Number);
                await HeardAsync(own.DefaultIfEmpty().Max(), written, cancellationToken).ConfigureAwait(false);
                if (batch.Confirm is { } confirm)
                {
                    await confirm(cancellationToken).ConfigureAwait(false);
                }
            }
        }
        finally
        {
            await over.CancelAsync().ConfigureAwait(false);
            await beating.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>A change that was missed would never be heard of again.</summary>
    private async ValueTask ApplyAsync(IReadOnlyList<ChangedKey> changes, CancellationToken cancellation)
    {
        for (var pause = TimeSpan.FromMilliseconds(10); ; pause = TimeSpan.FromTicks(Math.Min(pause.Ticks * 2, s_longestPause.Ticks)))
        {
            try
            {
                // Each region has a follower of its own.
                await InvalidateManyAsync(changes.Select(change => (change.Key, change.Version)), Flags.OwnRegion, cancellation)
                    .ConfigureAwait(false);
                return;
            }
            catch (GenfenceStoreException problem)
            {
                NotTold(Logger, problem);
                await Task.Delay(pause, cancellation).ConfigureAwait(false);
            }
        }
    }

    /// <summary>If it cannot be noted, the next heartbeat can.</summary>
    private async ValueTask HeardAsync(long number, ConcurrentDictionary<long, ulong> written, CancellationToken cancellation)
    {
        if (!written.TryGetValue(number, out var stamp))
        {
            return;
        }
        foreach (var earlier in written.Keys.Where(earlier => earlier <= number))
        {
            written.TryRemove(earlier, out _);
        }
        try
        {
            var heard = new Request(Op.Heard) { Stamp = stamp };
            (await Connection.StatusAsync(heard, cancellation).ConfigureAwait(false)).MustBe(Status.Done);
        }
        catch (GenfenceStoreException problem)
        {
            GateNotNoted(Logger, problem);
        }
    }

    /// <summary>Writes heartbeats until it is over. Whoever is a thousand behind has a closed gate.</summary>
    private async Task BeatAsync(
        long follower,
        Func<Heartbeat, CancellationToken, ValueTask> write,
        ConcurrentDictionary<long, ulong> written,
        CancellationToken over)
    {
        var pause = s_longestPause;
        for (long number = 1; ; number++)
        {
            try
            {
                var results = await AllAsync([new Request(Op.Beat)], over).ConfigureAwait(false);
                results[0].Status.MustBe(Status.Done);
                pause = TimeSpan.FromMilliseconds(results[0].RemainingMs / 8.0);
                written[number] = results[0].Stamp;
                written.TryRemove(number - 1024, out _);
                await write(new Heartbeat(follower, number), over).ConfigureAwait(false);
            }
            catch (Exception problem) when (problem is GenfenceInvalidException or GenfenceShutDownException)
            {
                // No such option, so that nobody waits for heartbeats; or it is over.
                return;
            }
            catch (Exception problem) when (!over.IsCancellationRequested && problem is not OutOfMemoryException)
            {
                NoHeartbeat(Logger, problem);
            }
            await Task.Delay(pause, over).ConfigureAwait(false);
        }
    }

    [LoggerMessage(20, LogLevel.Warning, "the cache cannot be told of changes; it is tried again")]
    private static partial void NotTold(ILogger logger, Exception problem);

    [LoggerMessage(21, LogLevel.Warning, "the stream's gate cannot be noted")]
    private static partial void GateNotNoted(ILogger logger, Exception problem);

    [LoggerMessage(22, LogLevel.Warning, "a heartbeat cannot be written into the source")]
    private static partial void NoHeartbeat(ILogger logger, Exception problem);
}
