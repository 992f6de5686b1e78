using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace Genfence.Extensions.Caching;

/// <summary>
/// Counts the sets of guarded misses that stored nothing, of all doors with one cache's name; as the cache's own counts
/// they are read when a listener collects.
/// </summary>
internal sealed class DroppedSets
{
    private static readonly ConcurrentDictionary<string, DroppedSets> s_all = new(StringComparer.Ordinal);
    private static readonly Meter s_meter = new("Genfence");

    private long _count;

    static DroppedSets() => s_meter.CreateObservableCounter(
        "genfence.sets.dropped",
        static () => s_all.Select(one => new Measurement<long>(
            Volatile.Read(ref one.Value._count), new KeyValuePair<string, object?>("genfence.cache", one.Key))),
        description: "Sets of IDistributedCache that stored nothing, as their misses are guarded.");

    public static DroppedSets Of(string cache) => s_all.GetOrAdd(cache, static _ => new DroppedSets());

    public void Add() => Interlocked.Increment(ref _count);
}
