using System.Reflection;
using System.Text.RegularExpressions;

namespace Genfence.Tests;

/// <summary>What can be set by a property counts as what stands in the URL, and the URL comes on top.</summary>
public class SettingsTests
{
    private const string Cluster = "aerospike://a.invalid/test/cache";

    [Fact]
    public void Every_property_is_an_option_and_one_out_of_bounds_is_named()
    {
        var own = new[] { "Name", "WorkerThreads", "CloseTimeout" };
        var properties = typeof(GenfenceSettings).GetProperties().Where(property => !own.Contains(property.Name)).ToList();
        Assert.True(properties.Count > 25);
        foreach (var property in properties)
        {
            var option = Regex.Replace(property.Name, "(?<=[a-z])(?=[A-Z])", "_").ToLowerInvariant();
            var options = new GenfenceOptions();
            if (property.PropertyType == typeof(bool?) && option != "tls")
            {
                // Neither value is wrong.
                property.SetValue(options, true);
                Assert.Contains($"?{option}=true", options.In(Cluster), StringComparison.Ordinal);
                continue;
            }
            Wrong(options, property);
            var url = option == "max_bytes" ? "memory://" : Cluster;
            var refused = Assert.Throws<GenfenceInvalidException>(() => GenfenceCache.Check(url, options));
            Assert.True(option == refused.Field, $"{option}: {refused.Message}");
        }
    }

    [Fact]
    public void What_is_within_bounds_is_taken()
    {
        GenfenceCache.Check("memory://");
        var options = new GenfenceOptions
        {
            Ttl = TimeSpan.FromTicks(12_345_678),
            TtlJitter = 0.25,
            NegativeTtl = TimeSpan.FromDays(3650),
            ReplicaLag = TimeSpan.Zero,
            Prefix = "a&b=c d+%é",
            MaxValueBytes = 8 << 20,
            MaxBytes = 1L << 33,
            Attempts = 5,
            UnreachableRead = UnreachableRead.Error,
            UnreachableReserve = UnreachableReserve.Proceed,
            Auth = Auth.Internal,
            SeedsOnly = true,
            Timeout = TimeSpan.FromMilliseconds(50),
        };
        options.AddressMap["10.0.0.1"] = "192.0.2.1";
        options.AddressMap["10.0.0.2"] = "192.0.2.2";
        GenfenceCache.Check("memory://", options);
        GenfenceCache.Check(Cluster, options);
        GenfenceCache.Check($"{Cluster}?timeout=1s", options);
    }

    [Fact]
    public void The_url_comes_on_top()
    {
        var wrong = new GenfenceOptions { Ttl = TimeSpan.Zero };
        GenfenceCache.Check("memory://?ttl=1s", wrong);
        var right = new GenfenceOptions { Ttl = TimeSpan.FromSeconds(1) };
        Assert.Equal("ttl", Assert.Throws<GenfenceInvalidException>(() => GenfenceCache.Check("memory://?ttl=0s", right)).Field);
    }

    [Fact]
    public async Task A_property_reaches_the_cache()
    {
        var options = new GenfenceOptions { MaxValueBytes = 10, Prefix = "p:", MaxKeyBytes = 8 };
        await using var cache = await GenfenceCache.ConnectAsync("memory://", options).WaitAsync(Support.Patience);
        Assert.Equal(SetOutcome.Stored, await cache.SetAsync("k", "0123456789").Within());
        Assert.Equal(SetOutcome.TooLarge, await cache.SetAsync("k", "0123456789a").Within());
        var refused = await Assert.ThrowsAsync<GenfenceInvalidException>(() => cache.SetAsync("1234567", "v").Within());
        Assert.Equal("key: 7 bytes, must be 1 to 6", refused.Message);
    }

    /// <summary>Sets it to what it must not be.</summary>
    private static void Wrong(GenfenceOptions options, PropertyInfo property)
    {
        switch (property.Name)
        {
            case "Auth":
                options.Auth = Auth.Pki;
                return;
            case "AddressMap":
                options.AddressMap["a,b"] = "c";
                return;
            case "Tls":
                (options.Tls, options.TlsName) = (false, "n");
                return;
            case "Prefix":
                options.Prefix = new string('x', 2000);
                return;
            case "ClusterGuard":
                options.ClusterGuard = (ClusterGuard)7;
                return;
            case "UnreachableRead":
                options.UnreachableRead = (UnreachableRead)7;
                return;
            case "UnreachableReserve":
                options.UnreachableReserve = (UnreachableReserve)7;
                return;
            case "Fence":
                options.Fence = Fence.All;
                return;
            case "Homes":
                options.Homes = "eu,us";
                return;
            case "HomesPhase":
                options.HomesPhase = HomesPhase.Read;
                return;
            case "RefreshAt":
                options.RefreshAt = 1;
                return;
            case "Unreachable":
                options.Unreachable = UnreachableRegion.Proceed;
                return;
        }
        var type = Nullable.GetUnderlyingType(property.PropertyType) ?? property.PropertyType;
        object wrong = type.Name switch
        {
            nameof(TimeSpan) => TimeSpan.FromDays(5000),
            nameof(Double) => 0.75,
            nameof(Int64) => 0L,
            nameof(Int32) => -1,
            nameof(String) => "/nowhere",
            _ => throw new NotSupportedException(property.Name),
        };
        property.SetValue(options, wrong);
    }
}
