namespace Genfence.Tests.Hybrid;

/// <summary>One list of cases, asked of Microsoft's HybridCache and of ours.</summary>
public sealed class HybridContractTests(WireServer wire) : IClassFixture<WireServer>, IAsyncLifetime
{
    private static readonly HybridCase[] s_cases =
    [
        .. HybridCases.Basics, .. HybridCases.Flags, .. HybridCases.Times, .. HybridCases.Limits, .. HybridCases.Keys,
        .. HybridCases.Stampedes, .. HybridCases.Objects, .. HybridCases.Tags,
    ];

    public static TheoryData<HybridHost, string> Cases
    {
        get
        {
            var all = new TheoryData<HybridHost, string>();
            foreach (var one in s_cases)
            {
                foreach (var host in Enum.GetValues<HybridHost>().Where(host => host != HybridHost.Memory || !one.MovesTime))
                {
                    all.Add(host, one.Name);
                }
            }
            return all;
        }
    }

    public ValueTask InitializeAsync() => default;

    public async ValueTask DisposeAsync() => await Support.AssertNothingIsAliveAsync();

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task A_hybrid_cache(HybridHost host, string name)
    {
        var one = s_cases.Single(one => one.Name == name);
        await using var world = new HybridWorld(host, wire, one.Services, one.Tags);
        Assert.Equal(one.Of(host), await one.Run(world));
    }

    [Fact]
    public void A_case_that_says_the_same_of_all_twice_would_hide_that_they_are_alike() =>
        Assert.DoesNotContain(s_cases, one => new[] { one.Microsoft, one.Local, one.Layered }.Contains(one.Answer)
            && one.Of(HybridHost.Local) == one.Answer && one.Of(HybridHost.Layered) == one.Answer);
}
