using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Shop.Tests;

/// <summary>The program as a process: how it begins and ends.</summary>
public sealed class ProgramTests : IDisposable
{
    private readonly TcpListener _silent = new(IPAddress.Loopback, 0);
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("genfence-shop-");

    public void Dispose()
    {
        _silent.Dispose();
        _folder.Delete(recursive: true);
    }

    [Theory]
    [InlineData("Genfence__Url", "", "Genfence:Url: is missing; give memory://")]
    [InlineData("Genfence__Url", "redis://ada:s3cret@host", "Genfence:Url: it must begin with `memory://`")]
    [InlineData("Genfence__Url", "memory://?ttl=banana", "Genfence:Url: ttl: ")]
    [InlineData("Genfence__Url", "aerospike://127.0.0.1:1/test/cache", "Genfence:Url: the cache's store did not answer")]
    [InlineData("Genfence__Url", "aerospike://127.0.0.1:SILENT/test/cache?connect_timeout=1s", "start the server")]
    [InlineData("Genfence__WorkerThreads", "many", "'many' at 'Genfence:WorkerThreads'")]
    [InlineData("Genfence__WorkerThreads", "-1", "Genfence:WorkerThreads: -1, must be 0 to 256")]
    [InlineData("ConnectionStrings__Postgres", "Host=127.0.0.1;Port=1;Password=s3cret", "Postgres: Failed to connect")]
    [InlineData("ConnectionStrings__Postgres", "Host=127.0.0.1;Port=SILENT;Password=s3cret;Timeout=1", "Postgres: ")]
    [InlineData("ConnectionStrings__Postgres", "Hosts=127.0.0.1;Password=s3cret", "Postgres: Couldn't set hosts")]
    [InlineData("ConnectionStrings__Sqlite", "Data Source=/nowhere/shop.db", "Sqlite: ")]
    public async Task A_wrong_setting_ends_it_with_the_settings_name(string name, string value, string message)
    {
        _silent.Start();
        value = value.Replace("SILENT", $"{((IPEndPoint)_silent.LocalEndpoint).Port}", StringComparison.Ordinal);
        using var program = Start((name, value), ("Genfence__RequireAtStart", "true"), ("Genfence__StartTimeout", "00:00:03"));
        var (output, errors) = (program.StandardOutput.ReadToEndAsync(), program.StandardError.ReadToEndAsync());
        await EndAsync(program);
        Assert.Equal(1, program.ExitCode);
        Assert.Contains(message, await errors, StringComparison.Ordinal);
        Assert.Contains(name.Replace("__", ":", StringComparison.Ordinal), await errors, StringComparison.Ordinal);
        Assert.DoesNotContain("s3cret", await output + await errors, StringComparison.Ordinal);
        Assert.DoesNotContain("Unhandled", await errors, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("memory://", false)]
    [InlineData("aerospike://127.0.0.1:1/test/cache", true)]
    public async Task It_starts_with_its_cache_or_without_and_ends_cleanly_when_it_is_told_to(string url, bool isWithout)
    {
        using var program = Start(("Genfence__Url", url), ("Genfence__StartTimeout", "00:00:00.2"));
        var errors = program.StandardError.ReadToEndAsync();
        var warned = false;
        string? line;
        do
        {
            line = await program.StandardOutput.ReadLineAsync().WaitAsync(ShopTests.Patience);
            warned |= line?.Contains("starts without its cache", StringComparison.Ordinal) == true;
        }
        while (line?.Contains("Application started", StringComparison.Ordinal) == false);
        Assert.NotNull(line);
        Assert.Equal(isWithout, warned);
        using var kill = Process.Start("kill", ["-TERM", $"{program.Id}"]);
        _ = program.StandardOutput.ReadToEndAsync();
        await EndAsync(program);
        Assert.Equal((0, ""), (program.ExitCode, await errors));
    }

    private Process Start(params ReadOnlySpan<(string Name, string Value)> settings)
    {
        var start = new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "WebApi.dll")])
        {
            WorkingDirectory = AppContext.BaseDirectory,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["ASPNETCORE_URLS"] = "http://127.0.0.1:0";
        start.Environment["ConnectionStrings__Sqlite"] = $"Data Source={Path.Combine(_folder.FullName, "shop.db")}";
        foreach (var (name, value) in settings)
        {
            start.Environment[name] = value;
        }
        return Process.Start(start)!;
    }

    private static async Task EndAsync(Process program)
    {
        try
        {
            await program.WaitForExitAsync().WaitAsync(ShopTests.Patience);
        }
        finally
        {
            program.Kill();
        }
    }
}
