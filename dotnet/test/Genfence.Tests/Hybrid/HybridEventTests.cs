using System.Collections.Concurrent;
using System.Diagnostics.Tracing;
using System.Reflection;
using Genfence.Extensions.Caching;

namespace Genfence.Tests.Hybrid;

/// <summary>What dashboards for Microsoft's HybridCache read, they read of ours.</summary>
public sealed class HybridEventTests(WireServer wire) : IClassFixture<WireServer>, IAsyncLifetime
{
    public ValueTask InitializeAsync() => default;

    public async ValueTask DisposeAsync() => await Support.AssertNothingIsAliveAsync();

    public static TheoryData<HybridHost> Ours => [HybridHost.Memory, HybridHost.Wire];

    [Fact]
    public void An_event_that_Microsofts_source_no_longer_has_would_be_told_to_nobody() =>
        Assert.All(
            typeof(HybridEvents.Tell).GetFields(BindingFlags.Static | BindingFlags.Public),
            tell => Assert.Equal(tell.Name, ((Action)tell.GetValue(null)!).Method.Name));

    [Theory, MemberData(nameof(Ours))]
    public async Task A_miss_and_a_hit_are_told_and_counted(HybridHost host)
    {
        await using var world = new HybridWorld(host, wire, _ => { });
        using var heard = new Heard();
        await heard.CountedAsync();
        var before = heard.Counters.ToDictionary();
        await world.GetAsync("k", "a");
        await world.GetAsync("k", "b");
        await world.SetAsync("k", "c");
        await world.KeptAsync("no such");
        heard.AssertTold(
            "DistributedCacheGet", "DistributedCacheMiss", "UnderlyingDataQueryStart", "UnderlyingDataQueryComplete", "DistributedCacheWrite",
            "DistributedCacheGet", "DistributedCacheHit",
            "DistributedCacheWrite",
            "DistributedCacheGet", "DistributedCacheMiss");
        await heard.CountedAsync();
        Assert.Equal((0, 0), (heard.Count("current-distributed-cache-fetches"), heard.Count("current-data-query")));
        // They go on counting, for all caches of the process.
        foreach (var (counter, added) in new[]
        {
            ("total-distributed-cache-hits", 1), ("total-distributed-cache-misses", 2), ("total-data-query", 1),
            ("total-distributed-cache-writes", 2), ("total-stampede-joins", 0), ("total-local-cache-hits", 0), ("total-local-cache-writes", 0),
        })
        {
            Assert.Equal((counter, before[counter] + added), (counter, heard.Count(counter)));
        }
    }

    [Theory, MemberData(nameof(Ours))]
    public async Task Who_joins_who_fails_and_who_cancels_is_told(HybridHost host)
    {
        await using var world = new HybridWorld(host, wire, _ => { });
        using var heard = new Heard();
        using var source = new CancellationTokenSource();
        var held = new HeldFactory<string>();
        var first = held.GetAsync(world.Cache, caller: source.Token);
        await held.Begun;
        var second = held.GetAsync(world.Cache, caller: source.Token);
        await world.WaitingAsync(2);
        await source.CancelAsync();
        await held.Cancelled;
        foreach (var call in new[] { first, second })
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call.WaitAsync(Support.Patience));
        }
        await Support.UntilAsync(() => heard.Told.Contains("UnderlyingDataQueryCanceled"));
        await Assert.ThrowsAsync<FormatException>(
            () => world.Cache.GetOrCreateAsync<string>("other", _ => throw new FormatException()).Within());
        heard.AssertTold(
            "DistributedCacheGet", "DistributedCacheMiss", "UnderlyingDataQueryStart", "StampedeJoin", "UnderlyingDataQueryCanceled",
            "DistributedCacheGet", "DistributedCacheMiss", "UnderlyingDataQueryStart", "UnderlyingDataQueryFailed");
    }

    [Theory, MemberData(nameof(Ours))]
    public async Task A_removal_by_tag_is_told_and_counted(HybridHost host)
    {
        await using var world = new HybridWorld(host, wire, _ => { }, tags: true);
        await world.GetAsync("k", "a", tags: ["t"]);
        using var heard = new Heard();
        await heard.CountedAsync();
        var before = heard.Count("total-tag-invalidations");
        await world.GetAsync("k", "b", tags: ["t"]);
        await world.RemoveByTagAsync("t", " ", "u");
        await world.GetAsync("k", "b", tags: ["t"]);
        // As Microsoft's, which does not tell of it.
        await world.RemoveByTagAsync("*");
        heard.AssertTold(
            "DistributedCacheGet", "DistributedCacheHit", "TagInvalidated", "TagInvalidated",
            "DistributedCacheGet", "DistributedCacheMiss", "UnderlyingDataQueryStart", "UnderlyingDataQueryComplete", "DistributedCacheWrite");
        await heard.CountedAsync();
        Assert.Equal(before + 2, heard.Count("total-tag-invalidations"));
    }

    [Fact]
    public async Task Nothing_is_told_of_a_call_that_began_while_nobody_listened()
    {
        await using var world = new HybridWorld(HybridHost.Memory, wire, _ => { });
        var held = new HeldFactory<string>();
        var first = held.GetAsync(world.Cache);
        await held.Begun;
        using var heard = new Heard();
        held.Answer("a");
        await first.WaitAsync(Support.Patience);
        heard.AssertTold();
    }

    [Fact]
    public async Task Microsofts_cache_in_the_same_process_is_told_of_too()
    {
        await using var microsofts = new HybridWorld(HybridHost.Layered, wire, _ => { });
        await microsofts.GetAsync("first", "a");
        await using var ours = new HybridWorld(HybridHost.Memory, wire, _ => { });
        await ours.GetAsync("first", "a");
        using var heard = new Heard();
        await ours.GetAsync("k", "a");
        heard.AssertTold(
            "DistributedCacheGet", "DistributedCacheMiss", "UnderlyingDataQueryStart", "UnderlyingDataQueryComplete", "DistributedCacheWrite");
        await microsofts.GetAsync("k", "a");
        Assert.Contains("LocalCacheMiss", heard.Told);
    }

    /// <summary>Listens, and keeps what it hears.</summary>
    private sealed class Heard : EventListener
    {
        // The base's constructor calls what is overridden here.
        private ConcurrentQueue<string>? _told;
        private ConcurrentDictionary<string, double>? _counters;
        private int _rounds;

        public ConcurrentQueue<string> Told => LazyInitializer.EnsureInitialized(ref _told);

        public ConcurrentDictionary<string, double> Counters => LazyInitializer.EnsureInitialized(ref _counters);

        public double Count(string counter) => Counters[counter];

        public void AssertTold(params string[] names) => Assert.Equal(names, Told);

        /// <summary>All counters were read after now: the round that is under way may have been too early.</summary>
        public Task CountedAsync()
        {
            var begun = Volatile.Read(ref _rounds);
            return Support.UntilAsync(() => Volatile.Read(ref _rounds) >= begun + 2);
        }

        protected override void OnEventSourceCreated(EventSource eventSource)
        {
            if (eventSource.Name == "Microsoft-Extensions-HybridCache")
            {
                var interval = new Dictionary<string, string?> { ["EventCounterIntervalSec"] = "0.05" };
                EnableEvents(eventSource, EventLevel.Verbose, EventKeywords.All, interval);
            }
        }

        protected override void OnEventWritten(EventWrittenEventArgs eventData)
        {
            if (eventData.EventName != "EventCounters")
            {
                Told.Enqueue(eventData.EventName!);
            }
            else if (eventData.Payload?[0] is IDictionary<string, object?> counter)
            {
                Counters[(string)counter["Name"]!] = Convert.ToDouble(counter["Mean"], null);
                // The last of a round.
                if ((string)counter["Name"]! == "total-tag-invalidations")
                {
                    Interlocked.Increment(ref _rounds);
                }
            }
        }
    }
}
