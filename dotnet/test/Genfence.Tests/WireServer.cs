using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Genfence.Tests;

/// <summary>The wire test server, a process of its own: it ends with its input, so never after this process.</summary>
public sealed partial class WireServer : IAsyncLifetime
{
    public const int Stop = 19, Continue = 18;

    private Process _process = null!;

    public string Address { get; private set; } = "";

    public async ValueTask InitializeAsync()
    {
        _process = Process.Start(new ProcessStartInfo(Support.Metadata("Wire"), "--control")
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        })!;
        Address = (await _process.StandardOutput.ReadLineAsync().WaitAsync(Support.Patience))!;
    }

    public ValueTask DisposeAsync()
    {
        Kill();
        _process.Dispose();
        return default;
    }

    public void Kill() => _process.Kill();

    public void Signal(int signal) => Assert.Equal(0, Kill(_process.Id, signal));

    /// <summary>Moves its clock, or switches a fault: what there is stands in tests/wire/src/main.rs.</summary>
    public async Task OrderAsync(string order)
    {
        await _process.StandardInput.WriteLineAsync(order);
        Assert.Equal("done", await _process.StandardOutput.ReadLineAsync().WaitAsync(Support.Patience));
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);
}
