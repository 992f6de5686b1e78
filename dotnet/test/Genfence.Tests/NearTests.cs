using System.ComponentModel;
using System.Text.Json;

namespace Genfence.Tests;

/// <summary>What a process serves of its own, in the form that the program uses, and how long.</summary>
public sealed class NearTests(WireServer wire) : StoreTest(wire)
{
    private const string Near = "near=2s&reservation_time=30s";

    [Theory]
    [MemberData(nameof(Stores))]
    public async Task An_immutable_object_is_read_once_and_shared(string store)
    {
        var cache = await OpenAsync(store, Near);
        var first = await SharedAsync(cache);
        for (var i = 0; i < 100; i++)
        {
            var again = cache.GetOrFillAsync("k", Missing<User>);
            Assert.True(again.IsCompletedSuccessfully, "no command is waited for");
            Assert.Same(first, await again);
        }
        Assert.True(cache.Stats.NearHits >= 100 && cache.Stats.Hits >= cache.Stats.NearHits);
    }

    [Theory]
    [MemberData(nameof(Stores))]
    public async Task A_change_of_ones_own_ends_it_at_once(string store)
    {
        var cache = await OpenAsync(store, Near);
        var first = await SharedAsync(cache);
        using (var reservation = await cache.ReserveAsync("k").Within())
        {
            Assert.False((await cache.TryGetAsync<User>("k").Within()).Found);
            Assert.Equal(store == Memory, reservation.Unsettled == TimeSpan.Zero);
            await reservation.SettledAsync().Within();
            Assert.Equal(TimeSpan.Zero, reservation.Unsettled);
            Assert.Equal(ReleaseOutcome.Purged, await reservation.ReleaseAsync().Within());
        }
        var next = await SharedAsync(cache);
        Assert.NotSame(first, next);
        await cache.InvalidateAsync("k").Within();
        Assert.False((await cache.TryGetAsync<User>("k").Within()).Found);
    }

    [Theory]
    [MemberData(nameof(Stores))]
    public async Task An_update_runs_when_no_copy_is_served_any_more(string store)
    {
        var (reader, writer) = (await OpenAsync(store, Near), await OpenAsync(store, Near));
        if (store == Memory)
        {
            // Each is a store of its own.
            writer = reader;
        }
        await SharedAsync(reader);
        var update = await writer.UpdateAsync("k", async (reservation, cancellation) =>
        {
            Assert.Equal(TimeSpan.Zero, reservation.Unsettled);
            Assert.False((await reader.TryGetAsync<User>("k", cancellationToken: cancellation).Within()).Found);
            return SourceResult.Committed(new User("Grace"));
        }).Within();
        Assert.Equal(UpdateOutcome.Stored, update);
        Assert.Equal("Grace", (await reader.GetOrFillAsync("k", Missing<User>).Within())!.Name);
    }

    [Theory]
    [MemberData(nameof(Stores))]
    public async Task What_can_be_changed_is_another_object_for_each_caller(string store)
    {
        var cache = await OpenAsync(store, Near);
        await CopiedAsync(cache, () => cache.GetOrFillAsync("k", _ => ValueTask.FromResult(new List<int> { 1 })));
        var first = (await cache.GetOrFillAsync("k", Missing<List<int>>).Within())!;
        first.Add(2);
        Assert.Equal([1], await cache.GetOrFillAsync("k", Missing<List<int>>).Within());
    }

    [Theory]
    [MemberData(nameof(Stores))]
    public async Task Another_serializer_reads_another_object(string store)
    {
        var cache = await OpenAsync(store, Near);
        var first = await SharedAsync(cache);
        var other = GenfenceSerializer.Json<User>(new JsonSerializerOptions(JsonSerializerDefaults.Web));
        Assert.NotSame(first, await cache.GetOrFillAsync("k", Missing<User>, other).Within());
    }

    [Theory]
    [MemberData(nameof(Stores))]
    public async Task Nothing_is_shared_where_nobody_asked_for_it(string store)
    {
        var cache = await OpenAsync(store, "near_max=2s&reservation_time=30s");
        var first = await cache.GetOrFillAsync("k", _ => ValueTask.FromResult(new User("Ada"))).Within();
        Assert.NotSame(first, await cache.GetOrFillAsync("k", Missing<User>).Within());
        Assert.Equal(0, cache.Stats.NearHits);
    }

    [Fact]
    public async Task A_value_whose_time_to_live_is_over_is_not_served_on()
    {
        var cache = await OpenAsync(Memory, "near=1s&ttl=1s&ttl_jitter=0");
        await SharedAsync(cache);
        var gone = false;
        await Support.UntilAsync(() => gone = !cache.TryGetAsync<User>("k").AsTask().Result.Found);
        Assert.True(gone);
    }

    [Theory]
    [MemberData(nameof(Stores))]
    public async Task A_handle_has_a_near_time_of_its_own(string store)
    {
        var cache = await OpenAsync(store, "near_max=2s&reservation_time=30s");
        var kept = cache.Near(TimeSpan.FromSeconds(2));
        var first = await SharedAsync(kept);
        for (var i = 0; i < 100; i++)
        {
            Assert.Same(first, await kept.GetOrFillAsync("k", Missing<User>).Within());
        }
        // The others read it of the store, where nobody keeps it as an object.
        var before = cache.Stats.NearHits;
        foreach (var none in (GenfenceCache[])[cache, kept.Near(TimeSpan.Zero)])
        {
            Assert.NotSame(first, await none.GetOrFillAsync("k", Missing<User>).Within());
            Assert.True((await none.TryGetAsync<User>("k").Within()).Found);
        }
        Assert.Equal(before, cache.Stats.NearHits);
        // And a writer waits for that handle's copies, whichever it comes from.
        using (var reservation = await cache.ReserveAsync("k").Within())
        {
            await reservation.SettledAsync().Within();
            Assert.False((await kept.TryGetAsync<User>("k").Within()).Found);
            await reservation.ReleaseAsync().Within();
        }
        var refused = Assert.Throws<GenfenceInvalidException>(() => cache.Near(TimeSpan.FromSeconds(3)));
        Assert.Equal("near: 3s is out of bounds, must be 10ms to 2s; the most is `near_max`", refused.Message);
        Assert.Throws<GenfenceInvalidException>(() => cache.Near(TimeSpan.FromSeconds(-1)));
    }

    [Fact]
    public async Task A_handle_with_a_near_time_has_tags_too()
    {
        var cache = await OpenAsync(Memory, "tags=true&near_max=2s");
        var hats = cache.Near(TimeSpan.FromSeconds(1)).Tagged("hats");
        var first = await SharedAsync(hats);
        Assert.Same(first, await SharedAsync(hats));
        await cache.PurgeTagAsync("hats").Within();
        Assert.False((await hats.TryGetAsync<User>("k").Within()).Found);
    }

    [Fact]
    public async Task A_cache_that_was_disposed_serves_nothing()
    {
        var cache = await OpenAsync(Memory, Near);
        await SharedAsync(cache);
        await cache.DisposeAsync();
        await Assert.ThrowsAsync<GenfenceShutDownException>(() => cache.GetOrFillAsync("k", Missing<User>).AsTask());
    }

    /// <summary>The object that all callers share.</summary>
    private static async Task<User> SharedAsync(GenfenceCache cache)
    {
        var load = () => cache.GetOrFillAsync("k", _ => ValueTask.FromResult(new User("Ada")));
        await CopiedAsync(cache, load);
        return (await load().Within())!;
    }

    private static async Task CopiedAsync<T>(GenfenceCache cache, Func<ValueTask<T?>> load)
    {
        var before = cache.Stats.NearHits;
        // Where nothing is counted, as of what is read from memory anew, twice is enough.
        for (var i = 0; cache.Stats.NearHits == before && i < 1000; i++)
        {
            _ = await load().Within();
        }
    }

    private static ValueTask<T> Missing<T>(CancellationToken cancellation) => throw new InvalidOperationException("a miss");

    [ImmutableObject(true)]
    private sealed record User(string Name);
}
