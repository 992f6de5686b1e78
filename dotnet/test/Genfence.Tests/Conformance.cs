using System.Reflection;

namespace Genfence.Tests;

/// <summary>
/// The conformance suite through this side's public calls, on each store: every command, outcome and edge that a caller
/// can reach. A case is named as in tests/conformance/cases, or tests/outcomes.rs and tests/doubt.rs where that has none.
/// </summary>
/// <remarks>
/// What of that suite a caller of this side cannot reach, as tokens, deadlines, generations and the time to live of a
/// record without a value are the library's own:
/// <list type="bullet">
/// <item>extend_of_anothers_or_an_older_lease_is_refused, extend_of_a_missing_record_is_refused: the library extends by
/// itself, and only what it holds; that the lease was lost is seen in fill_after_a_retaken_lease_is_refused and
/// fill_of_a_missing_record_is_refused_and_creates_none.</item>
/// <item>fill_under_another_token_or_deadline_is_refused: a lease knows its own.</item>
/// <item>abort_leaves_another_alone: the abort moves the generation on, so the other's commit is refused for that.</item>
/// <item>commands_without_a_ttl_leave_it: nobody is told the time to live of a reservation's record.</item>
/// <item>a_read_of_many_keys_tells_each_in_its_place: many_keys_are_loaded_by_one_call_and_come_in_order asks so.</item>
/// <item>Those of refresh.rs and near.rs: commands that the library sends by itself, of which NearTests and RefreshTests see what a
/// caller does.</item>
/// <item>Of commit_twice_is_refused_the_second_time, fill_twice_is_refused_the_second_time and the like: the second is
/// refused here, before it is sent.</item>
/// </list>
/// </remarks>
public sealed partial class Conformance(WireServer wire) : StoreTest(wire)
{
    /// <summary>How long claims last, where a case does not let them pass: on a server, on its own clock.</summary>
    private const string Long = "wait=0s&lease_time=1m&reservation_time=1m";

    /// <summary>Where time passes as slowly as it does. Nothing in such a case needs a claim to be live.</summary>
    private const string Short = "wait=0s&lease_time=1m&reservation_time=100ms&reservation_margin=0s";

    private string _store = "";
    private Key _key = null!;

    /// <summary>What a case needs of its store.</summary>
    private enum Needs
    {
        Nothing,

        /// <summary>That reservations expire: <see cref="PastAsync"/>.</summary>
        Past,

        /// <summary>Two processes with the same keys: <see cref="OtherAsync"/>.</summary>
        Shared,

        /// <summary>A clock and faults under control.</summary>
        Control,
    }

    public static TheoryData<string, string> Cases
    {
        get
        {
            var cases = new TheoryData<string, string>();
            foreach (var store in Stores)
            {
                foreach (var (name, needs) in All().Select(one => (one.Name, one.GetCustomAttribute<CaseAttribute>()!.Needs)))
                {
                    if (needs <= Needs.Past || store == Wire || (needs == Needs.Shared && store != Memory))
                    {
                        cases.Add(store, name);
                    }
                }
            }
            return cases;
        }
    }

    [Theory, MemberData(nameof(Cases))]
    public async Task Case(string store, string name)
    {
        _store = store;
        var method = All().Single(one => one.Name == name);
        var one = method.GetCustomAttribute<CaseAttribute>()!;
        var options = one.Needs == Needs.Past && store != Wire ? Short : Long;
        _key = new Key(await OpenAsync(store, one.Options is null ? options : $"{options}&{one.Options}"));
        await ((Task)method.Invoke(this, null)!).WaitAsync(Support.Patience);
        if (store == Wire)
        {
            await Server.OrderAsync("clear");
        }
    }

    [Fact]
    public void A_case_that_was_renamed_or_left_out_is_noticed()
    {
        string[] own = ["refresh.rs", "near.rs"];
        var known = Directory.GetFiles(Path.Combine(Support.Metadata("Conformance"), "cases"), "*.rs")
            .Where(file => !own.Contains(Path.GetFileName(file)))
            .SelectMany(File.ReadLines)
            .Select(line => line.Trim())
            .Where(line => line.EndsWith("(key) {", StringComparison.Ordinal))
            .Select(line => line[..line.IndexOf('(', StringComparison.Ordinal)])
            .ToHashSet();
        Assert.True(known.Count > 60, $"{known.Count}");
        string[] unreachable =
        [
            "extend_of_anothers_or_an_older_lease_is_refused",
            "extend_of_a_missing_record_is_refused",
            "fill_under_another_token_or_deadline_is_refused",
            "a_read_of_many_keys_tells_each_in_its_place",
            "abort_leaves_another_alone",
            "commands_without_a_ttl_leave_it",
            "what_comes_too_late_is_refused",
        ];
        Assert.Equal(known.Except(All().Select(one => one.Name)).Order(), unreachable.Order());
    }

    private static IEnumerable<MethodInfo> All() =>
        typeof(Conformance).GetMethods(BindingFlags.Instance | BindingFlags.NonPublic)
            .Where(method => method.IsDefined(typeof(CaseAttribute)));

    /// <summary>Every claim there is now expires.</summary>
    private Task PastAsync() =>
        _store == Wire ? PassAsync(60_500) : Task.Delay(105, TestContext.Current.CancellationToken);

    private Task PassAsync(int milliseconds) => Server.OrderAsync($"advance {milliseconds}");

    /// <summary>Another process.</summary>
    private async Task<Key> OtherAsync() => new(await OpenAsync(_store, Long));

    private static async Task UntilAsync(Func<bool> condition)
    {
        var waited = System.Diagnostics.Stopwatch.StartNew();
        while (!condition())
        {
            Assert.True(waited.Elapsed < Support.Patience, "did not come about");
            await Task.Delay(1);
        }
    }

    [AttributeUsage(AttributeTargets.Method)]
    private sealed class CaseAttribute(Needs needs = Needs.Nothing, string? options = null) : Attribute
    {
        public Needs Needs => needs;

        public string? Options => options;
    }

    /// <summary>The key of a case, and short names for what can be asked of it.</summary>
    private sealed class Key(GenfenceCache cache, string name = "k")
    {
        public GenfenceCache Cache => cache;

        public Key Another => new(cache, name + "'");

        public async Task<string?> TextAsync() => Support.Text(await cache.GetAsync(name));

        public async Task<CachedValue> HitAsync()
        {
            var hit = await cache.GetAsync(name);
            Assert.NotNull(hit);
            return hit.Value;
        }

        /// <summary>What a lookup is told that waits for nobody. A lease is given back.</summary>
        public async Task<object> LookAsync()
        {
            var looked = await cache.LookupNowAsync(name);
            looked.Lease?.Dispose();
            return looked.Kind == LookupKind.Bypass ? looked.Bypass : looked.Kind;
        }

        public async Task<Lease> LeaseAsync()
        {
            var looked = await cache.LookupNowAsync(name);
            Assert.Equal((LookupKind.Leased, BypassReason.None), (looked.Kind, looked.Bypass));
            return looked.Lease!;
        }

        /// <summary>What was given back is free a moment later.</summary>
        public async Task<Lease> LeaseSoonAsync()
        {
            LookupResult looked;
            do
            {
                looked = await cache.LookupNowAsync(name);
            }
            while (looked is { Kind: LookupKind.Bypass, Bypass: BypassReason.Slow });
            Assert.Equal((LookupKind.Leased, BypassReason.None), (looked.Kind, looked.Bypass));
            return looked.Lease!;
        }

        public static async Task<FillOutcome> FillAsync(Lease lease, string? value = "filled", long? version = null)
        {
            using (lease)
            {
                return await lease.FillAsync(value is null ? null : Support.Bytes(value), version);
            }
        }

        public async Task<FillOutcome> FillAsync(string? value = "filled", long? version = null) =>
            await FillAsync(await LeaseAsync(), value, version);

        public async Task<Reservation> ReserveAsync() => await cache.ReserveAsync(name);

        public static async Task<CommitOutcome> CommitAsync(Reservation writer, long? version = null)
        {
            using (writer)
            {
                return await writer.CommitAsync(Support.Bytes("committed"), version);
            }
        }

        public static async Task<ReleaseOutcome> ReleaseAsync(Reservation writer, long? version = null)
        {
            using (writer)
            {
                return await writer.ReleaseAsync(version);
            }
        }

        public static async Task AbortAsync(Reservation writer)
        {
            using (writer)
            {
                await writer.AbortAsync();
            }
        }

        public async Task InvalidateAsync(long? version = null) => await cache.InvalidateAsync(name, version);

        public async Task<SetOutcome> SetAsync(string? value = "set", TimeSpan? timeToLive = null) =>
            await cache.SetAsync(name, value, timeToLive);

        public async Task<ReplaceOutcome> ReplaceAsync(ulong stamp) =>
            await cache.ReplaceAsync(name, stamp, Support.Bytes("replaced"));

        public async Task<TouchOutcome> TouchAsync(int seconds) =>
            await cache.TouchAsync(name, TimeSpan.FromSeconds(seconds));

        /// <summary>The floor is this, though no value tells: a fill below it is refused, and one at it is not.</summary>
        public async Task AssertFloorAsync(long floor)
        {
            await InvalidateAsync();
            Assert.Equal(FillOutcome.Rejected, await FillAsync(await LeaseSoonAsync(), "below", floor - 1));
            Assert.Equal(FillOutcome.Stored, await FillAsync(await LeaseSoonAsync(), "at", floor));
            await InvalidateAsync();
        }
    }
}
