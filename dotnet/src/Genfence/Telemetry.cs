using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Genfence;

/// <summary>
/// The meter and the activities, both named Genfence. The native library counts; a listener reads the
/// counts when it collects, so a hit pays nothing. No key stands in a tag.
/// </summary>
internal static partial class Telemetry
{
    public const string Name = "Genfence";

    public static readonly ActivitySource Activities = new(Name);

    private static readonly Meter s_meter = new(Name);
    private static readonly ConcurrentDictionary<WeakReference<GenfenceCache>, KeyValuePair<string, object?>> s_caches
        = new();

    private static readonly Histogram<double> s_loads = s_meter.CreateHistogram<double>(
        "genfence.load.duration", "s", "How long the source was read for a fill or a bypass.");

    static Telemetry() => CountAll();

    public static void Add(GenfenceCache cache) =>
        s_caches[new WeakReference<GenfenceCache>(cache)] = new("genfence.cache", cache.Name);

    public static void Remove(GenfenceCache cache)
    {
        foreach (var (reference, _) in s_caches)
        {
            if (!reference.TryGetTarget(out var other) || ReferenceEquals(other, cache))
            {
                s_caches.TryRemove(reference, out _);
            }
        }
    }

    public static void Loaded(GenfenceCache cache, long started)
    {
        if (s_loads.Enabled)
        {
            s_loads.Record(
                Stopwatch.GetElapsedTime(started).TotalSeconds, new KeyValuePair<string, object?>("genfence.cache", cache.Name));
        }
    }

    private static void Count(string name, string description, Func<GenfenceStats, long> count) =>
        s_meter.CreateObservableCounter(name, () => Read(count), description: description);

    private static List<Measurement<long>> Read(Func<GenfenceStats, long> count)
    {
        var measured = new List<Measurement<long>>();
        foreach (var (reference, tag) in s_caches)
        {
            if (reference.TryGetTarget(out var cache) && !cache.Connection.IsClosed)
            {
                try
                {
                    measured.Add(new(count(cache.Stats), tag));
                }
                catch (GenfenceShutDownException)
                {
                    // Disposed meanwhile.
                }
            }
        }
        return measured;
    }
}
