using Microsoft.Extensions.Caching.Hybrid;
using Microsoft.Extensions.DependencyInjection;
using static Microsoft.Extensions.Caching.Hybrid.HybridCacheEntryFlags;

namespace Genfence.Tests.Hybrid;

internal static partial class HybridCases
{
    private const HybridCacheEntryFlags Reads = DisableLocalCacheRead | DisableDistributedCacheRead;
    private const HybridCacheEntryFlags Writes = DisableLocalCacheWrite | DisableDistributedCacheWrite;

    public static IEnumerable<HybridCase> Flags =>
    [
        Flagged(None, "absent: new new; present: old old; set: new; loads: 1"),
        Flagged(DisableLocalCacheRead, "absent: new new; present: old old; set: new; loads: 1",
            local: "absent: new new; present: new new; set: new; loads: 2"),
        Flagged(DisableLocalCacheWrite, "absent: new new; present: old old; set: new; loads: 1",
            local: "absent: new nothing; present: old old; set: old; loads: 1",
            layered: "absent: new new; present: old old; set: old; loads: 1"),
        Flagged(DisableLocalCache, "absent: new new; present: old old; set: new; loads: 1",
            local: "absent: new nothing; present: new old; set: old; loads: 2",
            layered: "absent: new new; present: old old; set: old; loads: 1"),
        Flagged(DisableDistributedCacheRead, "absent: new new; present: new new; set: new; loads: 2",
            microsoft: "absent: new new; present: old old; set: new; loads: 1"),
        Flagged(DisableDistributedCacheWrite, "absent: new nothing; present: old old; set: old; loads: 1",
            microsoft: "absent: new new; present: old old; set: new; loads: 1"),
        Flagged(DisableDistributedCache, "absent: new nothing; present: new old; set: old; loads: 2",
            microsoft: "absent: new new; present: old old; set: new; loads: 1"),
        Flagged(DisableUnderlyingData, "absent: nothing nothing; present: old old; set: new; loads: 0",
            microsoft: "absent: nothing nothing; present: old old; set: old; loads: 0"),
        Flagged(DisableCompression, "absent: new new; present: old old; set: new; loads: 1"),
        Flagged(Reads, "absent: new new; present: new new; set: new; loads: 2"),
        Flagged(Writes, "absent: new nothing; present: old old; set: old; loads: 1"),
        Flagged(Reads | Writes, "absent: new nothing; present: new old; set: old; loads: 2"),
        Flagged(DisableLocalCache | DisableDistributedCacheWrite, "absent: new nothing; present: old old; set: old; loads: 1",
            local: "absent: new nothing; present: new old; set: old; loads: 2"),
        Flagged(DisableLocalCacheWrite | DisableDistributedCache, "absent: new nothing; present: new old; set: old; loads: 2",
            microsoft: "absent: new nothing; present: old old; set: old; loads: 1"),
        Flagged(Reads | DisableUnderlyingData, "absent: nothing nothing; present: nothing old; set: new; loads: 0",
            microsoft: "absent: nothing nothing; present: nothing old; set: old; loads: 0"),
        Flagged(Writes | DisableUnderlyingData, "absent: nothing nothing; present: old old; set: old; loads: 0"),
    ];

    /// <summary>
    /// What a flag does: to a get of a key that is not there, to one of a key that is, and to a set of one that is; and what is kept then.
    /// </summary>
    private static HybridCase Flagged(
        HybridCacheEntryFlags flags, string answer, string? microsoft = null, string? local = null, string? layered = null) => new(
        $"obeys {flags}",
        async world =>
        {
            HybridCacheEntryOptions options = HybridCase.Flagged(flags);
            var absent = $"{await world.GetAsync<string?>("absent", "new", options) ?? "nothing"} {await world.KeptAsync("absent")}";
            await world.SetAsync("present", "old");
            var present = $"{await world.GetAsync<string?>("present", "new", options) ?? "nothing"} {await world.KeptAsync("present")}";
            await world.SetAsync("set", "old");
            await world.SetAsync("set", "new", options);
            return $"absent: {absent}; present: {present}; set: {await world.KeptAsync("set")}; loads: {world.Loads}";
        },
        answer)
        { Microsoft = microsoft, Local = local, Layered = layered };

    public static IEnumerable<HybridCase> Times =>
    [
        new("keeps a value for five minutes where nothing is said", world => LivesAsync(world, null, 299, 2), "kept, gone") { MovesTime = true },
        new("remembers for half a minute that there is nothing, where nothing is said", async world =>
        {
            await world.GetAsync<User?>("k", null);
            await world.AdvanceAsync(TimeSpan.FromSeconds(40));
            await world.GetAsync<User?>("k", null);
            return $"loads: {world.Loads}";
        }, "loads: 2") { MovesTime = true, Microsoft = "loads: 1" },
        new("remembers that there is nothing for the expiration of the call", async world =>
        {
            await world.GetAsync<User?>("k", null, For(60));
            await world.AdvanceAsync(TimeSpan.FromSeconds(40));
            await world.GetAsync<User?>("k", null, For(60));
            return $"loads: {world.Loads}";
        }, "loads: 1") { MovesTime = true },
        new("keeps a value for its expiration", world => LivesAsync(world, For(60), 59, 2), "kept, gone") { MovesTime = true },
        new("keeps a value for the default expiration where a call has none", world =>
            LivesAsync(world, HybridCase.Flagged(None), 59, 2), "kept, gone")
        {
            MovesTime = true,
            Services = services => services.Configure<HybridCacheOptions>(
                options => options.DefaultEntryOptions = new HybridCacheEntryOptions { Expiration = TimeSpan.FromMinutes(1) }),
        },
        new("prefers the call's expiration to the default one", world => LivesAsync(world, For(120), 119, 2), "kept, gone")
        {
            MovesTime = true,
            Services = services => services.Configure<HybridCacheOptions>(
                options => options.DefaultEntryOptions = new HybridCacheEntryOptions { Expiration = TimeSpan.FromMinutes(1) }),
        },
        new("rounds an expiration of less than a second up to one", world => LivesAsync(world, For(0.2), 0.1, 0.2), "kept, kept")
        {
            MovesTime = true, Microsoft = "kept, gone",
        },
        new("rounds an expiration up to whole seconds", world => LivesAsync(world, For(1.5), 1.4, 1.6), "kept, gone") { MovesTime = true },
        new("ends a local copy before its value", world =>
            LivesAsync(world, new HybridEntry(TimeSpan.FromMinutes(2), TimeSpan.FromMinutes(1), null), 59, 2), "kept, kept")
        {
            MovesTime = true, Local = "kept, gone",
        },
        new("takes the expiration of a local copy for that alone", world =>
            LivesAsync(world, new HybridEntry(null, TimeSpan.FromMinutes(1), null), 59, 2), "kept, kept")
        {
            MovesTime = true, Local = "kept, gone",
        },
        new("keeps a value that has the longest expiration", async world =>
        {
            var told = await HybridWorld.TellAsync(() => world.Cache.SetAsync("k", "a", For(TimeSpan.MaxValue)));
            return $"{told}, {await world.KeptAsync("k")}";
        }, "done, a") { Microsoft = "done, nothing" },
        .. new[] { TimeSpan.Zero, TimeSpan.FromSeconds(-1) }.Select(time =>
            new HybridCase($"does not keep what is to live for {time}", async world =>
            {
                await world.SetAsync("got", "old");
                await world.SetAsync("set", "old");
                var got = await HybridWorld.TellAsync(() => new ValueTask<string>(world.GetAsync("new", "new", For(time))));
                var there = await HybridWorld.TellAsync(() => new ValueTask<string>(world.GetAsync("got", "new", For(time))));
                var set = await HybridWorld.TellAsync(() => world.Cache.SetAsync("set", "new", For(time)));
                return $"get: {got} {await world.KeptAsync("new")}; present: {there} {await world.KeptAsync("got")}; "
                    + $"set: {set} {await world.KeptAsync("set")}";
            }, "get: new nothing; present: new nothing; set: done nothing")
            {
                Microsoft = "get: ArgumentOutOfRangeException nothing; present: old old; set: done old",
            }),
    ];

    private static HybridCacheEntryOptions For(double seconds) => For(TimeSpan.FromSeconds(seconds));

    private static HybridCacheEntryOptions For(TimeSpan time) => new HybridEntry(time, null, null);

    /// <summary>Whether a value is there after so many seconds, and after some more.</summary>
    private static async Task<string> LivesAsync(HybridWorld world, HybridCacheEntryOptions? options, double first, double more)
    {
        await world.GetAsync("k", "a", options);
        await world.AdvanceAsync(TimeSpan.FromSeconds(first));
        var before = await world.KeptAsync("k");
        await world.AdvanceAsync(TimeSpan.FromSeconds(more));
        var after = await world.KeptAsync("k");
        return $"{(before == "a" ? "kept" : "gone")}, {(after == "a" ? "kept" : "gone")}";
    }

    private static readonly Action<IServiceCollection> s_small = services =>
        services.Configure<HybridCacheOptions>(options => options.MaximumPayloadBytes = 100);

    private static readonly Action<IServiceCollection> s_short = services =>
        services.Configure<HybridCacheOptions>(options => options.MaximumKeyLength = 10);

    private static readonly string s_large = new('x', 200);

    public static IEnumerable<HybridCase> Limits =>
    [
        new("returns a text that is too large, and does not keep it", async world =>
        {
            var got = await world.GetAsync("k", s_large);
            await world.GetAsync("k", s_large);
            return $"{got.Length}, loads: {world.Loads}, {world.Lines.Written.Count} line(s)";
        }, "200, loads: 2, 1 line(s)") { Microsoft = "200, loads: 1, 1 line(s)", Services = s_small },

        new("returns an object that is too large, and does not keep it", async world =>
        {
            var got = await world.GetAsync("k", new User(s_large, 36));
            await world.GetAsync("k", new User(s_large, 36));
            return $"{got.Name.Length}, loads: {world.Loads}, {world.Lines.Written.Count} line(s)";
        }, "200, loads: 2, 1 line(s)") { Microsoft = "200, loads: 1, 1 line(s)", Services = s_small },

        new("does not keep a text that is too large when it is set", async world =>
        {
            await world.SetAsync("k", "old");
            var told = await HybridWorld.TellAsync(() => world.Cache.SetAsync("k", s_large));
            await HybridWorld.TellAsync(() => world.Cache.SetAsync("k", s_large));
            var kept = await world.KeptAsync("k");
            return $"{told}, {(kept == s_large ? "kept" : kept)}, {world.Lines.Written.Count} line(s)";
        }, "done, nothing, 1 line(s)") { Microsoft = "done, kept, 2 line(s)", Services = s_small },

        new("gives one load of what is too large to all who wait", async world =>
        {
            var (held, callers) = await TogetherAsync(world, _ => default);
            held.Answer(s_large);
            await Task.WhenAll(callers).WaitAsync(Support.Patience);
            // Ours gives who came while it was read a second one, as that may be newer.
            return $"{(world.IsOurs ? held.Loads <= 2 : held.Loads == 1)}";
        }, "True") { Services = s_small },

        new("keeps what is within a bound that is set", async world =>
        {
            await world.GetAsync("k", new string('x', 90));
            return $"{(await world.KeptAsync("k")).Length}";
        }, "90") { Services = s_small },

        new("keeps nothing under a key that is longer than the bound", async world =>
        {
            var key = new string('k', 11);
            await world.GetAsync(key, "a");
            await world.GetAsync(key, "a");
            await world.GetAsync(key[1..], "b");
            return $"{await world.KeptAsync(key)}, {await world.KeptAsync(key[1..])}, loads: {world.Loads}, "
                + $"{world.Lines.Written.Count} line(s)";
        }, "nothing, b, loads: 3, 1 line(s)")
        {
            Microsoft = "nothing, b, loads: 3, 3 line(s)", Services = s_short,
        },

        new("keeps nothing that is set under a key that is longer than the bound", async world =>
        {
            var key = new string('k', 11);
            var told = await HybridWorld.TellAsync(() => world.Cache.SetAsync(key, "a"));
            return $"{told}, {await world.KeptAsync(key)}";
        }, "done, nothing") { Services = s_short },

        new("does without compression, and without tags in metrics", async world =>
            $"{await world.GetAsync("k", "a")} {await world.KeptAsync("k")}", "a a")
        {
            Services = services => services.Configure<HybridCacheOptions>(options =>
                (options.DisableCompression, options.ReportTagMetrics) = (true, true)),
        },

        new("takes the default flags where a call has none", async world =>
            $"{await world.GetAsync("k", "a")} {await world.GetAsync("k", "b", For(60))} "
                + $"{await world.GetAsync("k", "c", HybridCase.Flagged(None))} {await world.GetAsync("k", "d", HybridCase.Flagged(None))}",
            "a b c c")
        {
            Services = services => services.Configure<HybridCacheOptions>(
                options => options.DefaultEntryOptions = HybridCase.Flagged(Reads | Writes)),
        },

        new("has options of its own under a key of services", async world =>
        {
            await world.GetAsync("k", "a", cache: world.Other);
            await world.GetAsync("k", "a", cache: world.Other);
            await world.GetAsync("k", "b");
            return $"{await world.GetAsync("k", "c")}, loads: {world.Loads}";
        }, "b, loads: 3")
        {
            Services = services => services.Configure<HybridCacheOptions>(
                "other", options => options.DefaultEntryOptions = HybridCase.Flagged(Reads | Writes)),
        },

        new("has values of its own under a key of services", async world =>
        {
            await world.GetAsync("k", "a");
            return await world.GetAsync("k", "b", cache: world.Other);
        }, "b") { Microsoft = "a" },
    ];
}
