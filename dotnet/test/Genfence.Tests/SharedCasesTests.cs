using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace Genfence.Tests;

/// <summary>
/// What becomes of an update, and of a load: one list for Rust, where the core runs the loop, and for C#, where the host
/// does. Each case counts exactly what it says.
/// </summary>
public partial class SharedCasesTests
{
    private sealed class CallerFailed : Exception;

    public static TheoryData<string> Updates => Names("updates");

    public static TheoryData<string> Loads => Names("loads");

    [Theory]
    [MemberData(nameof(Updates))]
    public async Task An_update(string name)
    {
        var one = Cases("updates").Single(one => (string)one["name"]! == name);
        await using var cache = await ConnectAsync();
        await cache.SetAsync("k", "old").Within();
        using var other = one["crossed"] is null ? null : await cache.ReserveAsync("k").Within();
        JsonNode said;
        try
        {
            said = (await cache.UpdateAsync("k", (_, _) => ValueTask.FromResult(Changed(one["source"]!))).Within()).ToString();
        }
        catch (GenfenceInvalidException invalid)
        {
            said = new JsonObject { ["invalid"] = invalid.Field };
        }
        catch (CallerFailed)
        {
            said = "fails";
        }
        await AssertAsync(cache, one, said, one["outcome"]);
    }

    [Theory]
    [MemberData(nameof(Loads))]
    public async Task A_load(string name)
    {
        var one = Cases("loads").Single(one => (string)one["name"]! == name);
        await using var cache = await ConnectAsync();
        using var writer = one["reserved"] is null ? null : await cache.ReserveAsync("k").Within();
        if ((string?)one["holds"] is { } held)
        {
            await cache.SetAsync("k", held).Within();
        }
        JsonNode? said;
        try
        {
            said = await cache.GetOrFillAsync("k", _ => ValueTask.FromResult(Loaded(one["source"]!))).Within();
        }
        catch (GenfenceInvalidException invalid)
        {
            said = new JsonObject { ["invalid"] = invalid.Field };
        }
        catch (CallerFailed)
        {
            said = new JsonObject { ["fails"] = true };
        }
        await AssertAsync(cache, one, said, one["returned"]);
    }

    private static async Task AssertAsync(GenfenceCache cache, JsonNode one, JsonNode? said, JsonNode? expected)
    {
        Assert.True(JsonNode.DeepEquals(expected, said), $"{said?.ToJsonString()} instead of {expected?.ToJsonString()}");
        var counted = one["counted"]!.AsObject().ToDictionary(count => count.Key, count => (long)count.Value!);
        // What is given back is so in the background.
        await Support.UntilAsync(() => counted.GetValueOrDefault("leases_returned") == cache.Stats.LeasesReturned);
        Assert.Equal(counted.OrderBy(Name), Counted(cache).OrderBy(Name));
        var then = await ThenAsync(cache);
        Assert.True(JsonNode.DeepEquals(one["then"], then), $"{then.ToJsonString()} instead of {one["then"]!.ToJsonString()}");
    }

    private static string Name(KeyValuePair<string, long> count) => count.Key;

    private static SourceResult<string?> Changed(JsonNode source)
    {
        var version = (long?)source["version"];
        return (string?)source["says"] switch
        {
            "fails" => throw new CallerFailed(),
            "changed" => SourceResult.Changed(version),
            "rolled_back" => SourceResult.RolledBack,
            "deleted" => SourceResult.Deleted(version),
            null => SourceResult.Committed((string?)source["committed"], version, Time(source)),
            var other => throw new InvalidOperationException(other),
        };
    }

    private static Fresh<string?> Loaded(JsonNode source) => source["says"] is null
        ? new((string?)source["value"], (long?)source["version"], Time(source))
        : throw new CallerFailed();

    private static TimeSpan? Time(JsonNode source) =>
        source["ttl_ms"] is { } time ? TimeSpan.FromMilliseconds((long)time) : null;

    /// <summary>What the key holds afterwards.</summary>
    private static async Task<JsonNode> ThenAsync(GenfenceCache cache)
    {
        var found = await cache.LookupAsync("k").Within();
        using var lease = found.Lease;
        return found switch
        {
            { Kind: LookupKind.Hit, Hit.Value: null } => new JsonObject { ["hit"] = null },
            { Kind: LookupKind.Hit } => new JsonObject { ["hit"] = System.Text.Encoding.UTF8.GetString(found.Hit.Value) },
            { Kind: LookupKind.Leased } => "leased",
            { Bypass: BypassReason.Reserved } => "reserved",
            _ => throw new InvalidOperationException($"{found.Kind} {found.Bypass}"),
        };
    }

    /// <summary>Everything that is not zero.</summary>
    private static Dictionary<string, long> Counted(GenfenceCache cache)
    {
        object stats = cache.Stats;
        return typeof(GenfenceStats).GetProperties()
            .Select(property => (Name: Snake().Replace(property.Name, "_").ToLowerInvariant(), Count: (long)property.GetValue(stats)!))
            .Where(count => count.Count > 0)
            .ToDictionary(count => count.Name, count => count.Count);
    }

    private static Task<GenfenceCache> ConnectAsync() =>
        GenfenceCache.ConnectAsync("memory://?max_value_bytes=10").WaitAsync(Support.Patience);

    private static IEnumerable<JsonNode> Cases(string list) =>
        JsonNode.Parse(File.ReadAllText(Path.Combine(Support.Metadata("Cases"), $"{list}.json")))!.AsArray().Select(one => one!);

    private static TheoryData<string> Names(string list) => new(Cases(list).Select(one => (string)one["name"]!));

    [GeneratedRegex("(?<=[a-z])(?=[A-Z])")]
    private static partial Regex Snake();
}
