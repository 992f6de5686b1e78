using System.Text;

namespace Genfence.Tests;

/// <summary>Values that bear tags: what goes with its group, and what is of a source from before its group was changed.</summary>
public sealed class TagsTests(WireServer wire) : StoreTest(wire)
{
    private const string On = "wait=20s&lease_time=1m&tags=true";

    /// <summary>Two processes' caches, where the store is one for both.</summary>
    private async Task<(GenfenceCache One, GenfenceCache Other)> TwoAsync(string store, string options = On)
    {
        var one = await OpenAsync(store, options);
        return (one, store == Memory ? one : await OpenAsync(store, options));
    }

    private static ValueTask<string> Value(CancellationToken cancellation) => ValueTask.FromResult("value");

    private static async Task<bool> HasAsync(GenfenceCache cache, string key) => await cache.GetAsync(key).Within() is not null;

    private static async Task FillAsync(GenfenceCache cache, string key)
    {
        Assert.Equal("value", await cache.GetOrFillAsync(key, Value).Within());
        Assert.True(await HasAsync(cache, key));
    }

    [Theory]
    [MemberData(nameof(Stores))]
    public async Task What_is_stored_through_a_handle_goes_with_its_group_and_nothing_else_does(string store)
    {
        var (cache, other) = await TwoAsync(store);
        var hats = cache.Tagged("hat", "hat");
        var ways = new Dictionary<string, Func<string, Task>>
        {
            ["filled"] = key => hats.GetOrFillAsync(key, Value).Within(),
            ["filled, or stale"] = key => hats.GetOrFillOrStaleAsync(key, Value).Within(),
            ["filled with others"] = key => hats.GetOrFillManyAsync([key], (keys, _) =>
                ValueTask.FromResult<IReadOnlyDictionary<string, string>>(keys.ToDictionary(key => key, _ => "value"))).Within(),
            ["leased"] = async key => await Lease(await hats.LookupAsync(key).Within()),
            ["leased now"] = async key => await Lease(await hats.LookupNowAsync(key).Within()),
            ["leased with others"] = async key => await Lease((await hats.LookupManyAsync([key]).Within())[0]!.Value),
            ["set"] = key => hats.SetAsync(key, "value").Within(),
            ["replaced"] = async key =>
            {
                await cache.SetAsync(key, "before").Within();
                var stamp = (await cache.GetAsync(key).Within())!.Value.Stamp;
                Assert.Equal(ReplaceOutcome.Stored, await hats.ReplaceAsync(key, stamp, Support.Bytes("value")).Within());
            },
            ["committed"] = key => hats.UpdateAsync(key, (_, _) => ValueTask.FromResult(SourceResult.Committed("value"))).Within(),
            ["committed by hand"] = async key =>
            {
                using var reservation = await hats.ReserveAsync(key).Within();
                Assert.Equal(CommitOutcome.Stored, await reservation.CommitAsync(Support.Bytes("value")).Within());
            },
        };
        await FillAsync(cache, "no hat");
        foreach (var (key, store1) in ways)
        {
            await store1(key);
            Assert.True(await HasAsync(other, key), key);
        }
        await other.PurgeTagAsync("hat").Within();
        Assert.All(ways.Keys, key => Assert.False(HasAsync(cache, key).Result, key));
        Assert.True(await HasAsync(other, "no hat"));
        Assert.Equal(1, other.Stats.TagPurges);

        static async Task Lease(LookupResult found)
        {
            using var lease = found.Lease!;
            Assert.Equal(FillOutcome.Stored, await lease.FillAsync(Support.Bytes("value")).Within());
        }
    }

    [Theory]
    [MemberData(nameof(Stores))]
    public async Task Several_groups_and_all_are_purged_at_once(string store)
    {
        var (cache, other) = await TwoAsync(store);
        await FillAsync(cache.Tagged("red").Tagged(["hat"]), "red hat");
        await FillAsync(cache.Tagged("hat"), "hat");
        await FillAsync(cache.Tagged("car"), "car");
        await FillAsync(cache, "tree");
        await other.PurgeTagsAsync(["red", "car", "unknown", "red"]).Within();
        Assert.False(await HasAsync(cache, "red hat") || await HasAsync(cache, "car"));
        Assert.True(await HasAsync(cache, "hat") && await HasAsync(cache, "tree"));
        await other.PurgeTagsAsync([]).Within();
        await other.PurgeAllAsync().Within();
        Assert.False(await HasAsync(cache, "hat") || await HasAsync(cache, "tree"));
        await FillAsync(cache, "tree");
    }

    [Theory]
    [MemberData(nameof(Stores))]
    public async Task What_was_loaded_across_a_purge_is_served_to_nobody_else(string store)
    {
        var (cache, other) = await TwoAsync(store);
        var hats = cache.Tagged("hat");
        foreach (var purge in new Func<Task>[] { () => other.PurgeTagAsync("hat").Within(), () => other.PurgeAllAsync().Within() })
        {
            Assert.Equal("old", await hats.GetOrFillAsync("k", async _ =>
            {
                await purge();
                return "old";
            }).Within());
            Assert.False(await HasAsync(cache, "k"));
            await FillAsync(hats, "k");
            Assert.True(await HasAsync(other, "k"));
            await cache.InvalidateAsync("k").Within();
        }
    }

    [Theory]
    [MemberData(nameof(Stores))]
    public async Task While_a_group_is_changed_nothing_of_it_is_served_or_stored(string store)
    {
        var (cache, other) = await TwoAsync(store);
        var hats = cache.Tagged("hat");
        await FillAsync(hats, "k");
        await FillAsync(cache, "no hat");
        var updated = await other.UpdateTagAsync("hat", async (reservation, cancellation) =>
        {
            Assert.True(reservation.IsHeld);
            Assert.False(await HasAsync(cache, "k"));
            Assert.True(await HasAsync(cache, "no hat"));
            Assert.Equal("read meanwhile", await hats.GetOrFillAsync(
                "k", _ => ValueTask.FromResult("read meanwhile"), cancellationToken: cancellation).Within());
            Assert.False(await HasAsync(cache, "k"));
            Assert.Equal(SetOutcome.Busy, await hats.SetAsync("other", "value", cancellationToken: cancellation).Within());
            return SourceResult.Changed();
        }).Within();
        Assert.Equal(UpdateOutcome.Purged, updated);
        Assert.False(await HasAsync(cache, "k"));

        // What was loaded across all of a change, too.
        await hats.GetOrFillAsync("k", async cancellation =>
        {
            using var reservation = await other.ReserveTagAsync("hat", cancellation).Within();
            var committed = await reservation.CommitAsync(Support.Bytes("is not looked at"), cancellationToken: cancellation).Within();
            Assert.Equal(CommitOutcome.Stored, committed);
            return "old";
        }).Within();
        Assert.False(await HasAsync(cache, "k"));
        await FillAsync(hats, "k");
        Assert.Equal(UpdateOutcome.RolledBack, await other.UpdateTagAsync("*", async (_, _) =>
        {
            Assert.False(await HasAsync(cache, "no hat"));
            return SourceResult.RolledBack;
        }).Within());
        await FillAsync(cache, "no hat");
    }

    [Fact]
    public async Task To_dispose_of_a_handle_ends_nothing_and_to_dispose_of_the_cache_ends_both()
    {
        var cache = await OpenAsync(Memory, On);
        var hats = cache.Tagged("hat");
        hats.Dispose();
        await hats.DisposeAsync();
        await FillAsync(hats, "k");
        await cache.DisposeAsync();
        await Assert.ThrowsAsync<GenfenceShutDownException>(() => hats.GetOrFillAsync("k", Value).Within());
        await Assert.ThrowsAsync<GenfenceShutDownException>(() => hats.SetAsync("k", "value").Within());
        Assert.Throws<GenfenceShutDownException>(() => hats.Tagged("red"));
        await Assert.ThrowsAsync<GenfenceShutDownException>(() => cache.PurgeTagAsync("hat").Within());
    }

    [Fact]
    public async Task A_handle_keeps_its_cache_from_being_finalised()
    {
        var hats = await HandleAloneAsync();
        GC.Collect();
        GC.WaitForPendingFinalizers();
        await FillAsync(hats, "k");
        Assert.Equal(1, Support.Live().Caches);
    }

    private static async Task<GenfenceCache> HandleAloneAsync() =>
        (await GenfenceCache.ConnectAsync("memory://?tags=true")).Tagged("hat");

    [Fact]
    public async Task What_is_out_of_bounds_is_refused_before_anything_is_sent()
    {
        var cache = await OpenAsync(Memory, On);
        var longest = new string('t', 256);
        string[] most = [longest, .. Enumerable.Range(1, 31).Select(tag => $"t{tag}")];
        await FillAsync(cache.Tagged([.. most, .. most]), "k");
        await cache.PurgeTagAsync(longest).Within();
        Assert.False(await HasAsync(cache, "k"));
        // The longest is counted in bytes.
        string[] bad = ["", $"{longest}t", Encoding.UTF8.GetString([0xc3, 0xa9]) + longest[1..], "\ud800", null!];
        foreach (var tag in bad)
        {
            AssertRefused(() => cache.Tagged("hat", tag));
            await RefusedAsync(() => cache.PurgeTagAsync(tag));
            await RefusedAsync(() => cache.PurgeTagsAsync(["hat", tag]));
            await RefusedAsync(async () => (await cache.ReserveTagAsync(tag)).Dispose());
            await RefusedAsync(async () => await cache.UpdateTagAsync(tag, (_, _) => throw new InvalidOperationException()));
        }
        AssertRefused(() => cache.Tagged("*"));
        AssertRefused(() => cache.Tagged([.. most, "one more"]));
        AssertRefused(() => cache.Tagged(most).Tagged("one more"));
        Assert.Throws<ArgumentNullException>(() => cache.Tagged(null!));

        var without = await OpenAsync(Memory, "wait=20s");
        AssertRefused(() => without.Tagged("hat"));
        AssertRefused(() => without.Tagged());
        await RefusedAsync(() => without.PurgeAllAsync());
        await RefusedAsync(async () => (await without.ReserveTagAsync("hat")).Dispose());
    }

    private static void AssertRefused(Func<GenfenceCache> call) => Named(Assert.Throws<GenfenceInvalidException>(call));

    private static async Task RefusedAsync(Func<ValueTask> call) =>
        Named(await Assert.ThrowsAsync<GenfenceInvalidException>(() => call().Within()));

    private static void Named(GenfenceInvalidException refused)
    {
        Assert.Equal("tags", refused.Field);
        Assert.Contains("tags: ", refused.Message, StringComparison.Ordinal);
    }
}
