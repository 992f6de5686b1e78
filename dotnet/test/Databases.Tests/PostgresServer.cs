using System.Diagnostics;
using System.Net;
using System.Net.Sockets;

namespace Genfence.Tests.Databases;

/// <summary>A server of the tests' own, which asks for a password, and syncs nothing.</summary>
public sealed class PostgresServer : IAsyncLifetime
{
    private const string Password = "the/secret";

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    private string _home = "";
    private string _programs = "";
    private bool _started;

    /// <summary>Why there is none.</summary>
    public string? Missing { get; private set; }

    public string ConnectionString { get; private set; } = "";

    public async ValueTask InitializeAsync()
    {
        // Of the versions that Debian installs side by side, the newest.
        var places = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator)
            .Concat(Directory.Exists("/usr/lib/postgresql")
                ? Directory.GetDirectories("/usr/lib/postgresql").OrderDescending().Select(version => $"{version}/bin")
                : []);
        var found = places.FirstOrDefault(place => File.Exists($"{place}/initdb") && File.Exists($"{place}/pg_ctl"));
        if (found is null)
        {
            Missing = "PostgreSQL is not installed: neither on PATH nor in /usr/lib/postgresql";
            return;
        }
        _programs = found;
        _home = Directory.CreateTempSubdirectory("genfence-postgres-").FullName;
        await File.WriteAllTextAsync($"{_home}/password", Password);
        if (Environment.UserName == "root")
        {
            await RunAsync("chown", "postgres:postgres", _home);
        }
        await RunAsync(
            $"{_programs}/initdb", $"--pgdata={_home}/data", "--username=shop", $"--pwfile={_home}/password",
            "--auth=scram-sha-256", "--no-sync", "--locale=C", "--encoding=UTF8");
        var port = FreePort();
        await RunAsync(
            $"{_programs}/pg_ctl", "start", "-w", "-D", $"{_home}/data", "-l", $"{_home}/data/log",
            "-o", $"-p {port} -k \"\" -c fsync=off -c listen_addresses=127.0.0.1");
        _started = true;
        ConnectionString = $"Host=127.0.0.1;Port={port};Username=shop;Password={Password}";
    }

    public async ValueTask DisposeAsync()
    {
        if (_started)
        {
            await RunAsync($"{_programs}/pg_ctl", "stop", "-w", "-m", "immediate", "-D", $"{_home}/data");
        }
        if (_home.Length > 0)
        {
            Directory.Delete(_home, recursive: true);
        }
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    /// <summary>PostgreSQL does not run as root: as the user of that name then.</summary>
    private static async Task RunAsync(string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments);
        if (Environment.UserName == "root" && program != "chown")
        {
            start = new ProcessStartInfo(
                "setpriv", ["--reuid=postgres", "--regid=postgres", "--clear-groups", program, .. arguments]);
        }
        using var running = Process.Start(start)!;
        await running.WaitForExitAsync().WaitAsync(s_patience);
        Assert.True(running.ExitCode == 0, $"{program} ended with {running.ExitCode}");
    }
}
