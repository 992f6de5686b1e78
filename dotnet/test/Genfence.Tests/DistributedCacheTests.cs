using System.Buffers;
using Genfence.Extensions.Caching;
using Microsoft.Extensions.Caching.Distributed;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;

namespace Genfence.Tests;

/// <summary>
/// Which set is the fill of a miss's lease and which is blind, with the crossings forced step by step; and what the two
/// interfaces promise.
/// </summary>
public sealed class DistributedCacheTests(WireServer wire) : StoreTest(wire)
{
    private static readonly DistributedCacheEntryOptions s_plain = new();

    private readonly FakeTimeProvider _time = new(DateTimeOffset.UtcNow);
    private GenfenceCache _cache = null!;
    private GenfenceDistributedCache _distributed = null!;

    private GenfenceStats Stats => _cache.Stats;

    [Theory, MemberData(nameof(Stores))]
    public async Task A_set_after_the_only_miss_is_its_fill(string store)
    {
        await Open(store);
        Assert.Null(await _distributed.GetAsync("k"));
        Assert.Equal(1, Stats.Leases);
        await Set("value");
        Assert.Equal(1, Stats.FillsStored);
        Assert.Equal("value", await Get());
        // No miss came before this one.
        await Set("again");
        Assert.Equal((1, 0), (Stats.FillsStored, Stats.FillsRejected));
        Assert.Equal("again", await Get());
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_value_that_was_read_before_a_change_is_not_set(string store)
    {
        await Open(store);
        foreach (var change in new Func<Task>[]
        {
            () => _distributed.RemoveAsync("k"),
            () => _cache.InvalidateAsync("k", 7).Within(),
            Change,
            // Also one that is still under way.
            () => _cache.ReserveAsync("k").Within(),
        })
        {
            var rejected = Stats.FillsRejected;
            Assert.Null(await Get());
            await change();
            await Set("old");
            Assert.Equal(rejected + 1, Stats.FillsRejected);
            Assert.Null(await _cache.GetAsync("k").Within());
        }
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task Of_two_misses_neither_fills(string store)
    {
        await Open(store);
        Assert.Null(await Get());
        // The first has read the source by now; the lease of a second would not know of this change.
        await Change();
        Assert.Null(await Get());
        Assert.Equal(1, Stats.Leases);
        await Set("of one of them");
        await Set("of the other");
        Assert.Equal((0, 0), (Stats.FillsStored, Stats.FillsRejected));
        Assert.Equal("of the other", await Get());
        await AssertFillsAgain();
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_value_past_its_last_moment_is_a_miss_with_a_lease(string store)
    {
        await Open(store);
        await Set("ended", last: 60);
        _time.Advance(TimeSpan.FromSeconds(60));
        // The store still has it.
        Assert.NotNull(await _cache.GetAsync("k").Within());
        Assert.Null(await Get());
        await Change();
        await Set("old");
        Assert.Equal((1, 1), (Stats.Leases, Stats.FillsRejected));
        Assert.Null(await _cache.GetAsync("k").Within());
        await AssertFillsAgain();
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task Of_two_misses_of_an_ended_value_neither_fills(string store)
    {
        await Open(store);
        await Set("ended", last: 60);
        _time.Advance(TimeSpan.FromSeconds(60));
        Assert.Null(await Get());
        Assert.Null(await Get());
        await Set("of one of them");
        await Set("of the other");
        Assert.Equal((1, 0, 0), (Stats.Leases, Stats.FillsStored, Stats.FillsRejected));
        await AssertFillsAgain();
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_set_that_threw_does_not_make_its_retry_blind(string store)
    {
        await Open(store);
        var past = new DistributedCacheEntryOptions { AbsoluteExpiration = _time.GetUtcNow().AddSeconds(-1) };
        foreach (var (field, refused) in new (string, Func<Task>)[]
        {
            ("value", () => _distributed.SetAsync("k", new byte[2 << 20], s_plain)),
            ("ttl", () => _distributed.SetAsync("k", [1], past)),
        })
        {
            Assert.Null(await Get());
            await Change();
            Assert.Equal(field, (await Assert.ThrowsAsync<GenfenceInvalidException>(refused)).Field);
            await Set("old");
            await Set("old, once more");
            Assert.Null(await _cache.GetAsync("k").Within());
            // The next get has a lease of its own.
            await AssertFillsAgain();
            await _distributed.RemoveAsync("k");
        }
    }

    [Theory, InlineData(false), InlineData(true)]
    public async Task A_set_that_was_cancelled_under_way_does_not_make_its_retry_blind(bool isMissedMeanwhile)
    {
        await Open(Wire);
        Assert.Null(await Get());
        using var cancelled = new CancellationTokenSource();
        Server.Signal(WireServer.Stop);
        var set = _distributed.SetAsync("k", [1], s_plain, cancelled.Token);
        if (isMissedMeanwhile)
        {
            await GetCancelled();
        }
        await cancelled.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => set.WaitAsync(Support.Patience));
        Server.Signal(WireServer.Continue);
        await Support.AssertNothingIsInFlightAsync();
        await Change();
        await Set("old");
        Assert.Null(await _cache.GetAsync("k").Within());
        if (isMissedMeanwhile)
        {
            Assert.Null(await Get());
            await Set("of one of them");
            await Set("of the other");
            Assert.Equal("of the other", await Get());
        }
        await AssertFillsAgain();
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_set_without_a_get_takes_the_lease_of_who_missed(string store)
    {
        await Open(store);
        Assert.Null(await Get());
        await Change();
        // By whoever made the change: taken for the fill of the miss, and then the set of the miss is one too many.
        await Set("new");
        Assert.Equal(1, Stats.FillsRejected);
        await Set("old");
        Assert.Equal("old", await Get());
        // So whoever did not get removes.
        await _distributed.RemoveAsync("k");
        Assert.Null(await Get());
        await Change();
        await _distributed.RemoveAsync("k");
        await Set("old");
        Assert.Equal(2, Stats.FillsRejected);
        Assert.Null(await _cache.GetAsync("k").Within());
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_second_miss_gives_the_lease_back(string store)
    {
        await Open(store);
        Assert.Null(await Get());
        Assert.Equal(BypassReason.Slow, (await _cache.LookupNowAsync("k").Within()).Bypass);
        Assert.Null(await Get());
        using var lease = (await _cache.LookupAsync("k").Within()).Lease;
        Assert.NotNull(lease);
        Assert.Equal(1, Stats.LeasesReturned);
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task Of_three_misses_the_last_does_not_fill_either(string store)
    {
        await Open(store);
        Assert.Null(await Get());
        Assert.Null(await Get());
        await Set("of one of them");
        await _distributed.RemoveAsync("k");
        // One of the first two is still to set, perhaps what it read before the removal.
        Assert.Null(await Get());
        await Set("of the third, or not");
        await Set("of the rest");
        Assert.Equal((1, 0, 0), (Stats.Leases, Stats.FillsStored, Stats.FillsRejected));
        await AssertFillsAgain();
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_lease_after_a_bypass_is_not_taken(string store)
    {
        await Open(store);
        using var writer = await _cache.ReserveAsync("k").Within();
        Assert.Null(await Get());
        await writer.ReleaseAsync().Within();
        // The set of the bypass is still to come, with what it read under the writer.
        Assert.Null(await Get());
        Assert.Equal(0, Stats.Leases);
        await Set("of one of them");
        await Set("of the other");
        Assert.Equal((0, 0), (Stats.FillsStored, Stats.FillsRejected));
        Assert.Equal("of the other", await Get());
        await AssertFillsAgain();
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_bypass_beside_a_lease_makes_both_sets_blind(string store)
    {
        await Open(store);
        Assert.Null(await Get());
        using var writer = await _cache.ReserveAsync("k").Within();
        Assert.Null(await Get());
        // Blind, and beside a live writer: busy.
        await Set("of one of them");
        Assert.Null(await _cache.GetAsync("k").Within());
        Assert.Equal(CommitOutcome.Stored, await writer.CommitAsync(Support.Bytes("of the writer, unread here")).Within());
        await Set("of the other");
        Assert.Equal((0, 0), (Stats.FillsStored, Stats.FillsRejected));
        Assert.Equal("of the other", await Get());
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_set_after_a_lone_bypass_is_blind(string store)
    {
        await Open(store);
        using var writer = await _cache.ReserveAsync("k").Within();
        Assert.Null(await Get());
        await writer.AbortAsync().Within();
        await Set("value");
        Assert.Equal((0, 0, 0), (Stats.Leases, Stats.FillsStored, Stats.FillsRejected));
        Assert.Equal("value", await Get());
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_late_set_stores_nothing(string store)
    {
        await Open(store, "lease_time=20ms&load_time=20ms&wait=20s");
        Assert.Null(await Get("alone"));
        var waited = System.Diagnostics.Stopwatch.StartNew();
        while (Stats.LeasesReturned == 0 && waited.Elapsed < Support.Patience)
        {
            await Task.Delay(1);
        }
        await Set("late", "alone");
        Assert.Equal(1, Stats.FillsRejected);
        Assert.Null(await _cache.GetAsync("alone").Within());
        // Also where another caller has come, and was given a lease.
        Assert.Null(await Get());
        using var another = (await _cache.LookupAsync("k").Within()).Lease;
        Assert.NotNull(another);
        await Set("late");
        Assert.Equal(2, Stats.FillsRejected);
        Assert.Null(await _cache.GetAsync("k").Within());
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_get_waits_for_nobody(string store)
    {
        await Open(store, "wait=1m&lease_time=1m");
        using var held = (await _cache.LookupAsync("k").Within()).Lease!;
        Assert.Null(await _distributed.GetAsync("k").WaitAsync(Support.Patience));
        Assert.Null(await _distributed.GetAsync("k").WaitAsync(Support.Patience));
        // Blind sets, and so the fill that was under way is over.
        await Set("value");
        Assert.Equal(FillOutcome.Rejected, await held.FillAsync(Support.Bytes("old")).Within());
        Assert.Equal("value", await Get());
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_get_that_failed_counts_as_a_miss(string store)
    {
        await Open(store);
        await GetCancelled();
        Assert.Null(await Get());
        Assert.Equal(0, Stats.Leases);
        // What is cancelled before it begins is no set.
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => _distributed.SetAsync("k", [1], s_plain, new CancellationToken(true)));
        await Set("of one of them");
        await Set("of the other");
        await AssertFillsAgain();
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task Disposing_gives_the_leases_back(string store)
    {
        await Open(store);
        Assert.Null(await Get());
        _distributed.Dispose();
        using (var lease = (await _cache.LookupAsync("k").Within()).Lease)
        {
            Assert.NotNull(lease);
        }
        Assert.Null(await Get("later"));
        Assert.Equal(LookupKind.Lease, await Free("later"));
    }

    [Fact]
    public async Task Misses_without_a_set_hold_no_more_leases_than_the_bound()
    {
        await Open(Memory);
        for (var i = 0; i <= Misses.MaxKeys; i++)
        {
            Assert.Null(await Get($"k{i}"));
        }
        Assert.Equal((long)Misses.MaxKeys, Support.Live().Leases);
        Assert.Equal(LookupKind.Lease, await Free("k0"));
        await Set("forgotten", "k0");
        Assert.Equal(0, Stats.FillsStored);
        await Set("remembered", "k1");
        Assert.Equal(1, Stats.FillsStored);
    }

    [Fact]
    public async Task A_miss_without_a_set_is_forgotten_in_time()
    {
        await Open(Memory);
        Assert.Null(await Get());
        _time.Advance(Misses.MaxAge / 2);
        Assert.Null(await Get());
        await Set("of one of them");
        await _distributed.RemoveAsync("k");
        // The second was taken off, so that the first still gets old.
        _time.Advance((Misses.MaxAge / 2) + TimeSpan.FromSeconds(1));
        await AssertFillsAgain();

        await _distributed.RemoveAsync("k");
        Assert.Null(await Get());
        _time.Advance(Misses.MaxAge + TimeSpan.FromSeconds(1));
        var filled = Stats.FillsStored;
        await Set("far too late");
        Assert.Equal((filled, 0L), (Stats.FillsStored, Support.Live().Leases));
    }

    [Fact]
    public async Task A_miss_gets_old_also_behind_younger_ones_of_other_keys()
    {
        await Open(Memory);
        Assert.Null(await Get());
        _time.Advance(Misses.MaxAge / 2);
        Assert.Null(await Get("other"));
        // Newer than the other key's, and taken off again.
        Assert.Null(await Get());
        await Set("of one of them");
        await _distributed.RemoveAsync("k");
        _time.Advance((Misses.MaxAge / 2) + TimeSpan.FromSeconds(1));
        await AssertFillsAgain();
    }

    [Fact]
    public async Task A_get_that_threw_is_forgotten_sooner()
    {
        await Open(Memory);
        await GetCancelled();
        _time.Advance(Misses.MaxAgeOfThrown);
        Assert.Null(await Get());
        Assert.Equal(0, Stats.Leases);
        await Set("of one of them");
        await _distributed.RemoveAsync("k");
        _time.Advance(TimeSpan.FromTicks(1));
        await AssertFillsAgain();

        // Beside one that was answered, whichever came first, the longer time counts.
        await _distributed.RemoveAsync("k");
        Assert.Null(await Get());
        await GetCancelled();
        _time.Advance(Misses.MaxAge);
        var leases = Stats.Leases;
        Assert.Null(await Get());
        Assert.Equal(leases, Stats.Leases);
        await Set("of one of them");
        _time.Advance(TimeSpan.FromTicks(1));
        await AssertFillsAgain();
    }

    [Fact]
    public async Task A_lookup_that_threw_is_forgotten_sooner_too()
    {
        await Open(Wire, "attempts=1&max_errors=0&unreachable_read=error&wait=20s&lease_time=1m");
        await Server.OrderAsync("lose-requests 1");
        await Assert.ThrowsAsync<GenfenceStoreException>(() => _distributed.GetAsync("k"));
        _time.Advance(Misses.MaxAgeOfThrown);
        Assert.Null(await Get());
        await Set("of one of them");
        Assert.Equal((0, 0), (Stats.Leases, Stats.FillsStored));
        _time.Advance(TimeSpan.FromTicks(1));
        await AssertFillsAgain();
    }

    [Fact]
    public async Task A_get_that_threw_does_not_make_a_retry_blind()
    {
        await Open(Memory);
        Assert.Null(await Get());
        await Change();
        await SetTooMuch();
        await GetCancelled();
        await Set("old");
        Assert.Null(await _cache.GetAsync("k").Within());
        // With the one that threw it is two.
        Assert.Null(await Get());
        await Set("of one of them");
        await Set("of the other");
        Assert.Equal((1, 0), (Stats.Leases, Stats.FillsStored));
        Assert.Equal("of the other", await Get());
        await AssertFillsAgain();

        // But not when it has been forgotten.
        await _distributed.RemoveAsync("k");
        Assert.Null(await Get());
        await SetTooMuch();
        await GetCancelled();
        _time.Advance(Misses.MaxAgeOfThrown + TimeSpan.FromTicks(1));
        await Set("old");
        Assert.Null(await _cache.GetAsync("k").Within());
        await AssertFillsAgain();
    }

    [Fact]
    public async Task A_key_that_is_only_ever_missed_is_bounded_too()
    {
        await Open(Memory);
        for (var i = 0; i < 1000; i++)
        {
            Assert.Null(await Get());
        }
        for (var i = 0; i < 1000; i++)
        {
            await Set("blind");
        }
        await _distributed.RemoveAsync("k");
        Assert.Null(await Get());
        await Set("blind");
        Assert.Equal((1, 0), (Stats.Leases, Stats.FillsStored));
        _time.Advance(Misses.MaxAge + TimeSpan.FromSeconds(1));
        await AssertFillsAgain();
    }

    [Fact]
    public async Task Gets_and_sets_that_race_a_dispose_leave_no_lease()
    {
        const int Rounds = 10, Callers = 16, Calls = 100;
        long filled = 0;
        for (var round = 0; round < Rounds; round++)
        {
            await Open(Memory, "wait=20s");
            var (cache, distributed) = (_cache, _distributed);
            var calls = 0;
            var enough = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            var callers = Enumerable.Range(0, Callers).Select(caller => Task.Run(async () =>
            {
                var random = new Random(caller);
                for (var i = 0; i < Calls; i++)
                {
                    var key = $"k{random.Next(50)}";
                    using var source = new CancellationTokenSource();
                    var get = distributed.GetAsync(key, source.Token);
                    if (random.Next(3) == 0)
                    {
                        source.Cancel();
                    }
                    try
                    {
                        if (await get is null && random.Next(4) > 0)
                        {
                            await distributed.SetAsync(key, [1], s_plain);
                        }
                        else if (random.Next(2) == 0)
                        {
                            await distributed.RemoveAsync(key);
                        }
                    }
                    catch (OperationCanceledException)
                    {
                        // Ended.
                    }
                    if (Interlocked.Increment(ref calls) == Callers * Calls / 2)
                    {
                        enough.SetResult();
                    }
                }
            })).ToArray();
            await enough.Task.WaitAsync(Support.Patience);
            distributed.Dispose();
            await Task.WhenAll(callers).WaitAsync(Support.Patience);
            Assert.Equal(0L, Support.Live().Leases);
            filled += cache.Stats.FillsStored;
        }
        Assert.True(filled > 0);
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task All_calls_come_in_both_kinds(string store)
    {
        await Open(store);
        var target = new ArrayBufferWriter<byte>();
        Assert.False(_distributed.TryGet("k", target));
        _distributed.Set("k", Support.Bytes("one"), s_plain);
        Assert.Equal(Support.Bytes("one"), _distributed.Get("k"));
        // In two pieces.
        var (head, tail) = (new Piece(Support.Bytes("tw"), null), default(Piece));
        tail = new Piece(Support.Bytes("o"), head);
        var pieces = new ReadOnlySequence<byte>(head, 0, tail, tail.Memory.Length);
        _distributed.Set("k", pieces, s_plain);
        Assert.True(_distributed.TryGet("k", target));
        Assert.Equal("two", System.Text.Encoding.UTF8.GetString(target.WrittenSpan));
        _distributed.Refresh("k");
        _distributed.Remove("k");
        Assert.Null(_distributed.Get("k"));
        _distributed.Refresh("k");
        await _distributed.SetAsync("k", pieces, s_plain).Within();
        Assert.Equal("two", await Get());
        await _distributed.SetAsync("k", Array.Empty<byte>(), s_plain);
        Assert.Empty((await _distributed.GetAsync("k"))!);
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task A_value_of_another_door_is_none(string store)
    {
        await Open(store);
        foreach (var value in new byte[]?[] { null, [], Support.Bytes("short") })
        {
            await _cache.SetBytesAsync("k", value).Within();
            Assert.Null(await Get());
            await _distributed.RefreshAsync("k");
            await Set("own");
            Assert.Equal("own", await Get());
        }
        Assert.Equal((3, 3), (Stats.Leases, Stats.FillsStored));
    }

    [Fact]
    public async Task What_is_missing_or_out_of_bounds_is_named()
    {
        await Open(Memory);
        var target = new ArrayBufferWriter<byte>();
        foreach (var (name, call) in new (string, Func<Task>)[]
        {
            ("key", () => _distributed.GetAsync(null!)),
            ("key", () => _distributed.TryGetAsync(null!, target).Within()),
            ("key", () => _distributed.RefreshAsync(null!)),
            ("key", () => _distributed.RemoveAsync(null!)),
            ("key", () => _distributed.SetAsync(null!, [1], s_plain)),
            ("value", () => _distributed.SetAsync("k", null!, s_plain)),
            ("options", () => _distributed.SetAsync("k", [1], null!)),
            ("destination", () => _distributed.TryGetAsync("k", null!).Within()),
        })
        {
            Assert.Equal(name, (await Assert.ThrowsAsync<ArgumentNullException>(call)).ParamName);
        }
        Assert.Throws<ArgumentNullException>(() => _distributed.Get(null!));
        var refused = await Assert.ThrowsAsync<GenfenceInvalidException>(() => _distributed.GetAsync(""));
        Assert.Equal("key", refused.Field);
        refused = await Assert.ThrowsAsync<GenfenceInvalidException>(() => _distributed.SetAsync("k", new byte[2 << 20], s_plain));
        Assert.Equal("value", refused.Field);
    }

    [Fact]
    public async Task A_destination_that_fails_is_no_miss()
    {
        await Open(Memory);
        await Set("value");
        await Assert.ThrowsAsync<NotSupportedException>(() => _distributed.TryGetAsync("k", new Full()).Within());
        Assert.Equal(0, Stats.Leases);
    }

    [Fact]
    public async Task Time_slides_with_each_read_and_never_past_the_last_moment()
    {
        await Open(Wire);
        await Set("slides", "slides", sliding: 10);
        await Set("refreshed", "refreshed", sliding: 10);
        await Set("still", "still", sliding: 10);
        await Set("ends", "ends", sliding: 10, last: 25);
        await Set("fixed", "fixed", last: 25);
        for (var at = 6; at <= 24; at += 6)
        {
            await Pass(6);
            Assert.Equal("slides", await Get("slides"));
            await _distributed.RefreshAsync("refreshed");
            Assert.Equal("ends", await Get("ends"));
            Assert.Equal("fixed", await Get("fixed"));
        }
        Assert.Null(await _cache.GetAsync("still").Within());
        await Pass(3);
        Assert.Equal("refreshed", await Get("refreshed"));
        // Gone from the server, too: what a read prolongs ends with the last moment.
        Assert.Null(await _cache.GetAsync("ends").Within());
        Assert.Null(await _cache.GetAsync("fixed").Within());
        await Pass(12);
        Assert.Null(await Get("slides"));
    }

    [Fact]
    public async Task A_value_that_could_not_be_prolonged_is_read_all_the_same()
    {
        await Open(Wire, "attempts=1&max_errors=0&wait=20s&lease_time=1m");
        await Set("value", sliding: 10);
        await Server.OrderAsync("lose-requests 1");
        Assert.Equal("value", await Get());
        using var source = new CancellationTokenSource();
        Assert.True(await _distributed.TryGetAsync("k", new Cancelling(source), source.Token).Within());
        // To prolong it is all that a refresh is for.
        await Server.OrderAsync("lose-requests 1");
        await Assert.ThrowsAsync<GenfenceStoreException>(() => _distributed.RefreshAsync("k"));
        // It was no miss.
        await AssertFillsAgain();
    }

    [Theory, MemberData(nameof(Stores))]
    public async Task The_last_moment_counts_to_the_tick(string store)
    {
        await Open(store);
        foreach (var options in new DistributedCacheEntryOptions[]
        {
            new() { AbsoluteExpiration = _time.GetUtcNow().AddHours(1) },
            // The relative one counts where both are given, as with the other caches of this interface.
            new() { AbsoluteExpirationRelativeToNow = TimeSpan.FromHours(1), AbsoluteExpiration = DateTimeOffset.MaxValue },
            new() { AbsoluteExpirationRelativeToNow = TimeSpan.FromHours(1), SlidingExpiration = TimeSpan.FromHours(2) },
        })
        {
            await _distributed.SetAsync("k", Support.Bytes("value"), options);
            _time.Advance(TimeSpan.FromHours(1) - TimeSpan.FromTicks(1));
            Assert.Equal("value", await Get());
            _time.Advance(TimeSpan.FromTicks(1));
            Assert.NotNull(await _cache.GetAsync("k").Within());
            Assert.Null(await Get());
            Assert.Null(await _cache.GetAsync("k").Within());
            await Set("own");
            Assert.Equal("own", await Get());
        }
        Assert.Equal((3, 3), (Stats.Leases, Stats.FillsStored));
    }

    [Fact]
    public async Task What_never_ends_is_kept_as_long_as_can_be()
    {
        await Open(Memory);
        foreach (var options in new DistributedCacheEntryOptions[]
        {
            new() { AbsoluteExpirationRelativeToNow = TimeSpan.MaxValue },
            new() { AbsoluteExpiration = DateTimeOffset.MaxValue },
            new() { SlidingExpiration = TimeSpan.MaxValue },
        })
        {
            await _distributed.SetAsync("k", [1], options);
            Assert.NotNull(await _distributed.GetAsync("k"));
        }
    }

    private async Task Open(string store, string options = "wait=20s&lease_time=1m")
    {
        _cache = await OpenAsync(store, options);
        _distributed = new GenfenceDistributedCache(_cache, _time);
    }

    public override async ValueTask DisposeAsync()
    {
        _distributed?.Dispose();
        await base.DisposeAsync();
    }

    private async Task<string?> Get(string key = "k") =>
        await _distributed.GetAsync(key).WaitAsync(Support.Patience) is { } bytes ? System.Text.Encoding.UTF8.GetString(bytes) : null;

    private Task Set(string value, string key = "k", int sliding = 0, int last = 0) =>
        _distributed.SetAsync(key, Support.Bytes(value), new DistributedCacheEntryOptions
        {
            SlidingExpiration = sliding > 0 ? TimeSpan.FromSeconds(sliding) : null,
            AbsoluteExpirationRelativeToNow = last > 0 ? TimeSpan.FromSeconds(last) : null,
        }).WaitAsync(Support.Patience);

    private async Task Pass(int seconds)
    {
        _time.Advance(TimeSpan.FromSeconds(seconds));
        await Server.OrderAsync($"advance {seconds * 1000}");
    }

    private async Task<LookupKind> Free(string key)
    {
        var looked = await _cache.LookupAsync(key).Within();
        looked.Lease?.Dispose();
        return looked.Kind;
    }

    private async Task GetCancelled() => await Assert.ThrowsAnyAsync<OperationCanceledException>(
        () => _distributed.GetAsync("k", new CancellationToken(true)));

    private async Task SetTooMuch() => await Assert.ThrowsAsync<GenfenceInvalidException>(
        () => _distributed.SetAsync("k", new byte[2 << 20], s_plain));

    private async Task Change() =>
        await _cache.UpdateAsync("k", (_, _) => ValueTask.FromResult(SourceResult.Changed())).Within();

    /// <summary>No miss is remembered any more.</summary>
    private async Task AssertFillsAgain()
    {
        await _distributed.RemoveAsync("k");
        var (leases, filled) = (Stats.Leases, Stats.FillsStored);
        Assert.Null(await Get());
        await Set("filled");
        Assert.Equal((leases + 1, filled + 1), (Stats.Leases, Stats.FillsStored));
    }

    private sealed class Piece : ReadOnlySequenceSegment<byte>
    {
        public Piece(byte[] bytes, Piece? before)
        {
            Memory = bytes;
            if (before is not null)
            {
                before.Next = this;
                RunningIndex = before.RunningIndex + before.Memory.Length;
            }
        }
    }

    /// <summary>Cancels when the value is there.</summary>
    private sealed class Cancelling(CancellationTokenSource source) : IBufferWriter<byte>
    {
        public void Advance(int count) => source.Cancel();

        public Memory<byte> GetMemory(int sizeHint = 0) => new byte[100];

        public Span<byte> GetSpan(int sizeHint = 0) => new byte[100];
    }

    private sealed class Full : IBufferWriter<byte>
    {
        public void Advance(int count) => throw new NotSupportedException();

        public Memory<byte> GetMemory(int sizeHint = 0) => throw new NotSupportedException();

        public Span<byte> GetSpan(int sizeHint = 0) => throw new NotSupportedException();
    }
}
