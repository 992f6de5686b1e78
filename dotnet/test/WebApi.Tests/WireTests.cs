using System.Diagnostics;
using System.Net;
using System.Reflection;

namespace Shop.Tests;

/// <summary>The cache over TCP: on the wire test server, a process of this test's own.</summary>
public sealed class WireTests : SqliteTests
{
    private Process _server = null!;
    private string _address = "";

    protected override string Url => $"aerospike://{_address}/test/cache?timeout=5s&attempts=1&wait=10s&cluster_guard_time=10s";

    public override async ValueTask InitializeAsync()
    {
        var program = typeof(WireTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
            .First(attribute => attribute.Key == "Wire").Value!;
        _server = Process.Start(new ProcessStartInfo(program) { RedirectStandardOutput = true })!;
        _address = (await _server.StandardOutput.ReadLineAsync().WaitAsync(Patience))!;
        await base.InitializeAsync();
    }

    public override async ValueTask DisposeAsync()
    {
        try
        {
            await base.DisposeAsync();
        }
        finally
        {
            _server.Kill();
            _server.Dispose();
        }
    }

    [Fact]
    public async Task Without_the_caches_server_reads_go_on_and_changes_are_refused()
    {
        var teapot = await ReadAsync(1);
        _server.Kill();
        await _server.WaitForExitAsync().WaitAsync(Patience);
        Assert.Equal(teapot, await ReadAsync(1));
        var refused = await ReplaceAsync(teapot! with { Name = "Kettle" }, HttpStatusCode.ServiceUnavailable);
        Assert.Contains("cache", refused, StringComparison.Ordinal);
        Assert.Equal(teapot, await ReadAsync(1));
        using var health = await Client.GetAsync(new Uri("/health", UriKind.Relative));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, health.StatusCode);
        Assert.Contains("Unhealthy", await health.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }
}
